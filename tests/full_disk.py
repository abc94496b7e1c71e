"""A disk that has no room for the end of a file: a write stops in the middle, as on a full one."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["files_no_longer_than"]


@contextmanager
def files_no_longer_than(num_bytes: int) -> Iterator[None]:
    """Every file of this process ends there: the write that crosses it is cut, the next one fails
    with EFBIG."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
