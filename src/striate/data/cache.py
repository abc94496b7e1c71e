"""The cache of decoded images: folders that are whole or absent.

cache_dir()/images/KEY/
    set.json                 what it is; written last, so that a folder with it is whole
    development/pixels.u8    training images, then validation images, (N, H, W, C) uint8
    development/items.json   labels, names, digests and groups of the same
    development/NAME.array   values of a field that are arrays themselves, such as masks
    test/                    the same of the sealed test split, in files that training never opens
cache_dir()/features/        features of images by published weights (training/feature_store.py)
cache_dir()/memo/            which KEY a source in a certain state led to
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL

from striate import durable, kernels, locks
from striate.config import DataConfig
from striate.data.decode import THUMBNAIL, ImageSpec
from striate.data.jpeg import decoder_name
from striate.digests import digest_of_bytes, file_digest
from striate.errors import DataError, RunError, StorageError, unknown_name
from striate.folders import cache_dir
from striate.reading import json_or_none, read_bytes

# Part of each key: a change of the format, of the splits, or of a library that decodes, starts a
# new cache, so that `predict` never meets pixels that another version of it made.
FORMAT = f"striate images 4, Pillow {PIL.__version__}, JPEG by {decoder_name()}"

_ELSEWHERE = ", or set $STRIATE_CACHE to a folder on another disk"


@dataclass(frozen=True)
class CacheEntry:
    """One thing in the cache that can be cleared."""

    name: str
    kind: Literal["images", "features", "download", "leftover"]
    path: Path
    num_bytes: int
    num_images: int | None
    used: float
    """When it was last used: seconds since 1970."""


def images_dir() -> Path:
    """The folder of decoded sets."""
    return cache_dir() / "images"


def memo_path(kind: str, *parts: Any) -> Path:
    """The memo for a question that `parts` (JSON values) describe."""
    return cache_dir() / "memo" / f"{kind}-{digest_of(FORMAT, *parts)[:32]}.json"


def write_memo(path: Path, value: Any) -> None:
    """Write the JSON value that answers a question, and its digest on a line of its own.

    Raises:
        StorageError: the cache cannot be written.
    """
    content = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    with writing():
        durable.write_bytes(path, content + b"\n" + digest_of_bytes(content).encode() + b"\n")


def read_memo(path: Path) -> Any:
    """The JSON value of a memo, None where there is none or it is damaged."""
    try:
        content, _, last = path.read_bytes().rstrip(b"\n").rpartition(b"\n")
        # Those of earlier versions end in a bracket, and have no digest.
        if last.endswith((b"]", b"}")):
            return read_json(path)
        return json_or_none(content) if last == digest_of_bytes(content).encode() else None
    except (OSError, ValueError):
        return None


def digest_of(*parts: Any) -> str:
    """SHA-256 over the canonical JSON of `parts`."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def read_json(path: Path) -> Any:
    """The JSON value of a file, None where there is none or it is damaged.

    Raises:
        StorageError: the disk does not give it back.
    """
    try:
        return json_or_none(read_bytes(path))
    except FileNotFoundError:
        return None


def key_of(described: Mapping[str, Any], config: DataConfig) -> str:
    """The key of a set: a digest of its set.json, without the key, and of how it is divided."""
    content = {name: value for name, value in described.items() if name != "key"}
    splits = (config.split_seed, config.test_fraction, config.validation_fraction)
    return digest_of(content, *splits)[:32]


def read_set(key: str, config: DataConfig) -> dict[str, Any] | None:
    """The content of a decoded set's set.json; None when the set is absent, or not as it was made.

    Its development part is compared with its digests, once in a process. The files of the test part
    stay closed.

    Args:
        key: Key of the set.
        config: How it is divided.
    """
    folder = images_dir() / key
    described = read_json(folder / "set.json")
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        return None
    if described.get("key") != key or key_of(described, config) != key:
        return None
    with suppress(KeyError, TypeError, AttributeError):  # its description may be damaged
        return None if altered(folder / "development", described["development"]) else described
    return None


def altered(folder: Path, expected: Mapping[str, Any]) -> list[Path]:
    """Files of a part that are missing or not what was written.

    Args:
        folder: Folder of the part.
        expected: Description that was written with it.
    """
    wanted = {"items.json": expected["item_digest"]}
    if "pixel_digest" in expected:  # streamed images are decoded as they are read
        wanted["pixels.u8"] = expected["pixel_digest"]
    wanted |= {f"{name}.array": a["digest"] for name, a in expected.get("arrays", {}).items()}
    paths = {folder / name: digest for name, digest in wanted.items()}
    return [p for p, digest in paths.items() if not p.is_file() or file_digest(p) != digest]


def mark_used(key: str) -> None:
    """Remember that a set was used now."""
    with suppress(OSError):
        os.utime(images_dir() / key / "set.json")


def map_array(
    path: Path, shape: tuple[int, ...], dtype: "str | type[np.generic]" = np.uint8
) -> np.ndarray:
    """Pixels or other values as a read-only array that stays on the disk."""
    if 0 in shape:
        return np.empty(shape, dtype=dtype)
    kernels.say_on_bus_error(
        f"Error {path.parent} was cut while its images were read, or its disk failed. What was "
        "saved before is safe. Repeat the command: the images are decoded anew.\n"
    )
    with durable.explaining(path, "read"):
        return np.memmap(path, dtype=dtype, mode="r", shape=shape)


def list_cache() -> list[CacheEntry]:
    """List the sets in the cache, the most recently used first."""
    entries = []
    for folder in _folders(images_dir()):
        described = read_json(folder / "set.json")
        kind: Literal["images", "leftover"] = "leftover"
        name, count, marker = folder.name, None, folder
        with suppress(KeyError, TypeError, ValueError, AttributeError):  # it may be damaged
            name, count = _set_name(described), sum(described["counts"].values())
            kind, marker = "images", folder / "set.json"
        entries.append(CacheEntry(name, kind, folder, _size(folder), count, marker.stat().st_mtime))
    for file in sorted((cache_dir() / "features").glob("*.safetensors")):
        status = file.stat()
        entries.append(
            CacheEntry(file.stem, "features", file, status.st_size, None, status.st_mtime)
        )
    for folder in _folders(cache_dir() / "downloads"):
        used = folder.stat().st_mtime
        entries.append(CacheEntry(folder.name, "download", folder, _size(folder), None, used))
    return sorted(entries, key=lambda entry: -entry.used)


def clear_cache(names: Sequence[str] = (), *, downloads: bool = True) -> list[CacheEntry]:
    """Remove what is in the cache, and say what was removed.

    A set that is being built by another process is left alone; a run that reads a set goes on.

    Args:
        names: Sets to remove (their names or folder names); without any: all.
        downloads: Remove the downloaded files of named sets too.

    Raises:
        DataError: there is no set of one of the names; nothing is removed.
    """
    entries = list_cache()
    known = {entry.name for entry in entries}
    unknown = [name for name in names if name not in known | {e.path.name for e in entries}]
    if unknown:
        raise DataError("\n".join(unknown_name("cached set", name, known) for name in unknown))
    removed = []
    for entry in entries:
        wanted = not names or entry.name in names or entry.path.name in names
        if not wanted or (entry.kind == "download" and not downloads):
            continue
        if entry.kind == "leftover" and _being_built(entry.path):
            continue
        if entry.kind == "features":
            entry.path.unlink(missing_ok=True)
        else:
            # set.json goes first: a folder without it is never used, however far this comes.
            (entry.path / "set.json").unlink(missing_ok=True)
            shutil.rmtree(entry.path, ignore_errors=True)
        removed.append(entry)
    if not names:
        for memo in (cache_dir() / "memo").glob("*.json"):
            memo.unlink(missing_ok=True)
    return removed


def build_folder(memo: Path) -> Path:
    """The folder in which the set of a memo is built."""
    return images_dir() / f".build-{memo.stem}"


@contextmanager
def building(memo: Path) -> Iterator[None]:
    """Hold the lock of the one process that builds the set of a memo; wait for it.

    Raises:
        StorageError: the cache cannot be written.
    """
    require_writable()
    with writing(), locks.lock(memo.with_suffix(".lock"), wait=True, taken=""):
        yield


def require_writable() -> None:
    """Make the folders of the cache.

    Raises:
        StorageError: The cache cannot be written.
    """
    with writing():
        for folder in (cache_dir(), images_dir(), cache_dir() / "memo"):
            with durable.explaining(folder, "written"):
                folder.mkdir(parents=True, exist_ok=True)
            durable.require_writable(folder, folder=True)


@contextmanager
def writing() -> Iterator[None]:
    """Add what helps in the cache to errors of its disk."""
    try:
        with durable.explaining():
            yield
    except StorageError as error:
        within = Path(error.filename).is_relative_to(cache_dir())
        if within and _ELSEWHERE not in error.remedy:
            error.remedy += _ELSEWHERE
        raise


def bytes_needed(num_items: int, spec: ImageSpec, *, streamed: bool = False) -> int:
    """Bytes that are written at most while a set is decoded into the cache.

    The images twice, in the order of the medium and copied from there in their final order, unless
    they are streamed; and their thumbnails.
    """
    copies = 0 if streamed else 2
    return num_items * (copies * math.prod(spec.shape) + math.prod(THUMBNAIL.shape))


def why_streamed(num_items: int, spec: ImageSpec) -> str | None:
    """Why a set cannot be decoded into the cache; None where the disk has room for it."""
    needed = bytes_needed(num_items, spec)
    folder = cache_dir()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed <= free:
        return None
    return f"decoded, the images need {_gib(needed)}; {_gib(free)} are free on the cache's disk"


def require_room(title: str, num_bytes: int, *, streamed: bool = False) -> None:
    """Refuse a set whose decoded images the disk of the cache cannot hold.

    Args:
        title: Title of the set.
        num_bytes: Bytes that will be written.
        streamed: Whether these are thumbnails alone.

    Raises:
        DataError: Fewer bytes are free.
    """
    free = shutil.disk_usage(cache_dir()).free
    if num_bytes <= free:
        return
    room = "make room (striate cache clear)"
    disk = "set $STRIATE_CACHE to a folder on a larger disk"
    if streamed:
        what = f"The thumbnails by which copies in {title} are detected need"
        advice = f"{room.capitalize()}, or {disk}."
    else:
        what = f"Decoding {title} needs"
        advice = (
            f"Choose a smaller data.input_size, {room}, {disk}, or decode each image whenever it "
            "is needed (--set data.streaming=true)."
        )
    raise DataError(
        f"{what} {_gib(num_bytes)} on the disk of the cache {cache_dir()}, where {_gib(free)} are "
        f"free. {advice}"
    )


def _gib(num_bytes: int) -> str:
    return (
        f"{num_bytes / 2**30:,.2f} GiB" if num_bytes >= 2**27 else f"{num_bytes / 2**20:,.2f} MiB"
    )


def _being_built(folder: Path) -> bool:
    held = cache_dir() / "memo" / f"{folder.name.removeprefix('.build-')}.lock"
    try:
        with locks.lock(held, wait=False, taken="taken"):
            return False
    except RunError:
        return True


def _set_name(described: dict[str, Any]) -> str:
    height, width = described["spec"]["input_size"]
    colour = "grey" if described["spec"]["channels"] == 1 else "RGB"
    streamed = ", streamed" * bool(described.get("streamed"))
    return f"{described['title']} {height}×{width} {colour}{streamed}"


def _folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir()) if path.is_dir() else []


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.is_file() and path.stat().st_size
    return total


def require_whole(folder: Path, expected: Mapping[str, Any]) -> None:
    """Refuse a part whose files are not what was written.

    Args:
        folder: Folder of the part.
        expected: Description that was written with it.

    Raises:
        DataError: a file is missing or was altered.
    """
    for path in altered(folder, expected):
        raise DataError(
            f"The cached images in {path} are missing or were altered. Clear them (striate cache "
            "clear) and repeat; they are made again from the source."
        )
