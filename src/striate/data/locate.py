"""Open the source that a path or a name stands for."""

from contextlib import suppress
from pathlib import Path

from striate.data.archive import ARCHIVES, ArchiveSource
from striate.data.arrays import ARRAYS, ArraySource
from striate.data.folder import FolderSource
from striate.data.listing import LISTS, ListSource
from striate.data.name_pattern import target_expression
from striate.data.named import NAMED_SETS
from striate.data.plane import PLANE_SETS
from striate.data.shards import (
    ShardSource,
    expand_pattern,
    is_pattern,
    shards_below,
    shards_listed,
)
from striate.data.source import Source
from striate.durable import explaining
from striate.errors import DataError, did_you_mean
from striate.folders import expanded
from striate.registry import Pick


def open_source(name_or_path: str, pattern: str | None = None, limit: int | None = None) -> Source:
    """Open the source that a name or a path stands for.

    A bare name of a named set is that set, also where a folder of this name lies in the current
    folder; write ./mnist for the folder.

    Args:
        name_or_path: Name of a set ("mnist"), a folder, an archive, a CSV or JSON list, arrays
            in an .npz file, or tar shards: a folder of them, a pattern
            (train-{000..099}.tar, shards/*.tar), or a .txt file that lists them.
        pattern: Pattern of what the names of the files of a folder or an archive say of their
            images, see `name_pattern.target_expression`; None: they lie in class folders.
        limit: Largest number of images to take outside a declared test split; None: all.

    Raises:
        DataError: There is no such path and no such name, or it is nothing that can be read.
    """
    with explaining(Path(name_or_path), "read"):
        if pattern is None:
            source = _open(name_or_path)
        else:
            source = _open_named(expanded(name_or_path), pattern)
    source.limit = limit
    return source


def _open(name_or_path: str) -> Source:
    """Open a source of class folders, a list or a named set."""
    # The names of the plane's sets are ordinary words: a folder of such a name is meant itself.
    is_own = name_or_path in PLANE_SETS and Path(name_or_path).exists()
    if name_or_path in NAMED_SETS and not is_own:
        source = NAMED_SETS.build(Pick(name_or_path))
        if Path(name_or_path).exists():
            source.remarks = (
                f"{name_or_path} is the data set of that name; the folder or file of this name "
                f"here is not read. It is ./{name_or_path}",
            )
        return source
    path = expanded(name_or_path)
    if path.exists():
        return open_path(path)
    if "://" in name_or_path:
        raise DataError(
            f"{name_or_path} lies elsewhere; images are read from this machine's disks. Download "
            "it first, and name the folder or the file."
        )
    if is_pattern(name_or_path):
        return ShardSource(expand_pattern(name_or_path), name_or_path)
    raise DataError(
        f"There is no file or folder {name_or_path!r}, and no data set of that name."
        f"{did_you_mean(path.name, NAMED_SETS)} Known: {', '.join(sorted(NAMED_SETS))}."
    )


def _open_named(path: Path, pattern: str) -> Source:
    """Open a folder or an archive whose files' names say what is learned."""
    target_expression(pattern)
    if path.is_dir():
        return FolderSource(path, pattern=pattern)
    if path.is_file() and path.name.lower().endswith(ARCHIVES):
        return ArchiveSource(path, pattern=pattern)
    raise DataError(
        f"A target pattern reads the names of the files of a folder or an archive, and {path} is "
        "neither. Leave out --target-pattern, or name the folder."
    )


def open_path(path: Path, title: str | None = None) -> Source:
    """Open the source at an existing path.

    Raises:
        DataError: It is nothing that can be read.
    """
    name = path.name.lower()
    if not path.is_dir() and not path.is_file():
        raise DataError(f"{path} is a pipe or a device; images are read from files and folders.")
    if path.is_dir():
        shards = shards_below(path)
        return ShardSource(shards, str(path), title) if shards else FolderSource(path, title)
    if name.endswith(".txt"):
        return ShardSource(shards_listed(path), str(path), title or path.stem)
    if name.endswith(ARCHIVES):
        return ArchiveSource(path, title)
    if name.endswith(LISTS):
        return ListSource(path, title)
    if name.endswith(ARRAYS):
        return ArraySource(path, title)
    raise DataError(
        f"{path} is no set of images. Accepted: a folder of class folders, an archive of one "
        f"({', '.join(ARCHIVES)}), a list ({', '.join(LISTS)}), arrays ({', '.join(ARRAYS)}), "
        "tar shards (a folder of them, a pattern as train-{000..099}.tar, a .txt list), or a name: "
        f"{', '.join(sorted(NAMED_SETS))}."
    )


def is_there(name_or_path: str) -> bool:
    """Whether a path exists, or a pattern stands for files that do."""
    with suppress(DataError):
        if is_pattern(name_or_path) and expand_pattern(name_or_path):
            return True
    return Path(name_or_path).exists()


def made_absolute(name_or_path: str) -> str:
    """A path or a pattern made absolute, so that it holds from elsewhere; a name as it is."""
    path = expanded(name_or_path)
    if path.exists():
        return str(path.resolve())
    return str(path.absolute()) if is_pattern(name_or_path) else name_or_path
