"""Arrays of an .npz file, read within the limit for memory; no code can run from them."""

import struct
import zipfile
from pathlib import Path

import numpy as np

from striate.errors import DataError
from striate.memory import require_memory
from striate.reading import reported_as, require_regular

_MAPPED = 64 * 2**20
"""Bytes of an array that is not compressed from which on it stays on the disk."""
_PASS = 4 * 2**20
_LOCAL_HEADER = 30
"""Bytes of the header before each member of a .zip file, without the two texts that follow it.

Source: PKWARE, "APPNOTE.TXT", section 4.3.7."""


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file; objects, which could run code, are refused.

    Large arrays that are not compressed stay on the disk, and are mapped into memory.

    Raises:
        DataError: it cannot be read, or is no such file.
        MemoryLimitError: its arrays take more memory than the limit.
    """
    with reported_as(DataError, f"{path} cannot be read as an .npz file"):
        require_regular(path)
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            unpacked = sum(info.file_size for info in members if not _stays(info))
            require_memory(unpacked, f"Reading {path}")
            arrays = {
                info.filename.removesuffix(".npy"): _checked(_read(archive, info, path))
                for info in members
            }
    return arrays


def _stays(info: zipfile.ZipInfo) -> bool:
    return info.compress_type == zipfile.ZIP_STORED and info.file_size >= _MAPPED


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> np.ndarray:
    with archive.open(info) as stream:
        if not _stays(info):
            array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
            return array
        version = np.lib.format.read_magic(stream)
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, in_columns, dtype = read_header(stream)
        header_bytes = stream.tell()
        while stream.read(_PASS):  # compares the checksum at its end
            pass
    with open(path, "rb") as whole:
        whole.seek(info.header_offset)
        local = struct.unpack("<26xHH", whole.read(_LOCAL_HEADER))
    start = info.header_offset + _LOCAL_HEADER + sum(local) + header_bytes
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded")
    return np.memmap(path, dtype, "r", start, shape, "F" if in_columns else "C")


def _checked(array: np.ndarray) -> np.ndarray:
    """An array of numbers, texts or times.

    Raises:
        ValueError: It holds something else, or elements without bytes, of which a file of a few
            bytes can claim any number.
    """
    if array.dtype.kind not in "biufUSmM" or array.size > array.nbytes:
        raise ValueError(f"an array of {array.dtype} is neither of numbers nor of texts")
    return array
