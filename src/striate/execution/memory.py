"""How the process takes its memory from the system."""

import ctypes
import sys

import torch


def keep_pages() -> None:
    """Have the C library keep freed memory for the next step instead of handing it back.

    Fresh pages are filled by the system at a fraction of the speed of used ones, and a training
    step frees and takes the same blocks again and again. Only glibc offers this.
    """
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt") or not hasattr(library, "gnu_get_libc_version"):
        return
    trim_threshold, mmap_max = -1, -4  # names of <malloc.h>
    library.mallopt(mmap_max, 0)
    library.mallopt(trim_threshold, 2**31 - 1)


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that the memory, the processor's or a device's, did not suffice.

    Example:
        >>> lacks_memory(MemoryError()), lacks_memory(RuntimeError("shapes differ"))
        (True, False)
    """
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    words = (
        "not enough memory",
        "allocate memory",
        "out of memory",
        "bad_alloc",
        "failed to map segment",
    )
    is_kind = isinstance(error, (RuntimeError, ImportError))  # libraries are mapped when needed
    return is_kind and any(word in str(error).lower() for word in words)
