"""Loads the native library that this processor runs best, and says once why there is none.

The same C++ sources are built once for each instruction set; the generic library, which runs
everywhere, tells what the processor has. The environment variable `STRIATE_ISA` picks another
(`generic`, `avx2`, `avx512`) or none (`none`: torch's operators do all work).
"""

import ctypes
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch

from striate.errors import ConfigError

ISAS = ("generic", "avx2", "avx512")
"""Instruction sets, each including those before it."""

_ABI = 2
_FOLDER = Path(__file__).parent / "_native"


class NativeLibrary:
    """A loaded library: its entry points by name, with declared arguments."""

    def __init__(self, name: str) -> None:
        self.isa = name
        self._library = ctypes.CDLL(str(_FOLDER / f"striate_kernels_{name}.so"))
        version = int(self.function("striate_abi")())
        if version != _ABI:
            raise OSError(f"it is of version {version}, the package needs {_ABI}")
        start = _openmp_start()
        if start is not None:
            self.function("striate_use_openmp", [ctypes.c_void_p])(start)

    def function(self, name: str, arguments: Sequence[Any] = ()) -> Any:
        """An entry point that takes ctypes `arguments` and returns an int (0: done).

        Pointers are declared `ctypes.c_void_p` and passed as `tensor.data_ptr()`.

        Raises:
            AttributeError: the library has no such entry point.
        """
        entry = getattr(self._library, name)
        entry.argtypes = list(arguments)
        entry.restype = ctypes.c_int
        return entry


def load() -> NativeLibrary | None:
    """The library for this processor, or None where there is none; logs the reason once.

    Raises:
        ConfigError: `STRIATE_ISA` names what is unknown, not built or not run by this processor.
    """
    library, reason = _chosen(os.environ.get("STRIATE_ISA", ""))
    if library is None:
        _say_once(reason)
    return library


def available() -> bool:
    """Whether native kernels are at hand."""
    return _chosen(os.environ.get("STRIATE_ISA", ""))[0] is not None


def isa() -> str:
    """The instruction set in use: "generic", "avx2", "avx512", or "none".

    Example:
        >>> from striate import kernels
        >>> kernels.isa() in ("generic", "avx2", "avx512", "none")
        True
    """
    library, _ = _chosen(os.environ.get("STRIATE_ISA", ""))
    return "none" if library is None else library.isa


def why_not() -> str:
    """Why there are no native kernels and what to do, or an empty text where there are."""
    return _chosen(os.environ.get("STRIATE_ISA", ""))[1]


def say_on_bus_error(text: str) -> None:
    """Have a text said, and the process ended with code 2, when a mapped file was cut meanwhile.

    Without native kernels, or where something else handles this signal, nothing changes.
    """
    library, _ = _chosen(os.environ.get("STRIATE_ISA", ""))
    with suppress(AttributeError):  # of a library that was built before it had this
        if library is not None:
            content = text.encode("utf-8", "backslashreplace")
            library.function("striate_on_bus_error", [ctypes.c_char_p])(content)


@cache
def _chosen(wanted: str) -> tuple[NativeLibrary | None, str]:
    """The library that `STRIATE_ISA=wanted` gives ("" takes the best), or why there is none."""
    if wanted not in ("", "none", *ISAS):
        raise ConfigError(f"STRIATE_ISA={wanted!r} is unknown: use {', '.join(ISAS)} or none.")
    if wanted == "none":
        return None, "Native kernels are switched off by STRIATE_ISA=none; torch's are used."
    try:
        usable = ISAS[: NativeLibrary("generic").function("striate_cpu_level")() + 1]
        if wanted:
            if wanted not in usable:
                raise ConfigError(f"STRIATE_ISA={wanted}: this processor runs {', '.join(usable)}.")
            return NativeLibrary(wanted), ""
        built = [name for name in usable if (_FOLDER / f"striate_kernels_{name}.so").exists()]
        return NativeLibrary(built[-1]), ""
    except OSError as error:
        reason = (
            f"Native kernels cannot be loaded ({error}); torch's are used, which is slower. "
            "Install the package where a C++ compiler is (g++ or clang++), or a wheel for this "
            "platform; in a source tree: python setup.py build_ext --inplace."
        )
        return None, reason


@cache
def _say_once(reason: str) -> None:
    logging.getLogger("striate").warning(reason)


@cache
def _openmp_start() -> int | None:
    """The address of GOMP_parallel in the OpenMP library that torch has loaded, if it has one.

    With it our kernels run in torch's own threads. Other packages may have brought OpenMP
    libraries of their own: the one beside torch's libraries comes first.
    """
    folder = Path(torch.__file__).parent
    beside = [*folder.glob("lib/lib*omp*"), *folder.parent.glob("torch.libs/lib*omp*")]
    for path in [*beside, *_loaded_openmp()]:
        try:
            # RTLD_NOLOAD: only if it is in the process already.
            library = ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
            return ctypes.cast(library.GOMP_parallel, ctypes.c_void_p).value
        except (OSError, AttributeError):
            continue
    return None


def _loaded_openmp() -> list[Path]:
    """OpenMP libraries that the process has loaded (Linux)."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text("utf-8").splitlines() if maps.exists() else []
    files = {Path(line.split(maxsplit=5)[-1].strip()) for line in lines}
    return sorted(f for f in files if f.name.startswith(("libgomp", "libiomp5", "libomp")))
