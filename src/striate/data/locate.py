"""From a path or a name to a source."""

from pathlib import Path

from striate.data.archive import ARCHIVES, ArchiveSource
from striate.data.arrays import ARRAYS, ArraySource
from striate.data.folder import FolderSource
from striate.data.listing import LISTS, ListSource
from striate.data.named import NAMED_SETS
from striate.data.source import Source
from striate.errors import DataError, unknown_name
from striate.registry import Pick

__all__ = ["open_path", "open_source"]


def open_source(name_or_path: str) -> Source:
    """The source that a name or a path stands for.

    A bare name of a named set is that set, also where a folder of this name lies in the current
    folder; write ./mnist for the folder.

    Args:
        name_or_path: a named set ("mnist"), a folder, an archive, a CSV or JSON list, or
            arrays in an .npz file.

    Raises:
        DataError: there is no such path and no such name, or it is nothing that can be read.
    """
    if name_or_path in NAMED_SETS:
        return NAMED_SETS.build(Pick(name_or_path))
    path = Path(name_or_path).expanduser()
    if path.exists():
        return open_path(path)
    nothing = f"There is no file or folder {name_or_path!r}, and no data set of that name."
    raise DataError(f"{nothing} {unknown_name('data set', path.name, NAMED_SETS)}")


def open_path(path: Path, title: str | None = None) -> Source:
    """The source at an existing path.

    Raises:
        DataError: it is nothing that can be read.
    """
    name = path.name.lower()
    if path.is_dir():
        return FolderSource(path, title)
    if name.endswith(ARCHIVES):
        return ArchiveSource(path, title)
    if name.endswith(LISTS):
        return ListSource(path, title)
    if name.endswith(ARRAYS):
        return ArraySource(path, title)
    raise DataError(
        f"{path} is no set of images. Accepted: a folder of class folders, an archive of one "
        f"({', '.join(ARCHIVES)}), a list ({', '.join(LISTS)}), arrays ({', '.join(ARRAYS)}), or "
        "a name: "
        f"{', '.join(sorted(NAMED_SETS))}."
    )
