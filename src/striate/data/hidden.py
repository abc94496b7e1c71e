"""Files and folders that no person means as images: hidden ones, and what systems leave behind."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from striate.data.spelling import enumerated

if TYPE_CHECKING:
    from striate.data.layout import Entry

Parts = tuple[str, ...]

PICTURES = {"jpg", "jpeg", "png", "webp", "bmp", "ppm", "pgm", "tif", "tiff", "gif", "jp2"}
"""Endings of pictures, in lower case."""
_NO_IMAGES = {
    *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", ".ds_store"),
    *("__macosx", ".git", ".hg", ".svn", ".venv", ".cache", ".idea", ".vscode"),
}
"""Names, in lower case, that say nothing to a person: nobody keeps images there."""
_LEFT_BEHIND = {
    *("$recycle.bin", "recycler", "system volume information", "found.000"),  # Windows
    *(".trashes", ".spotlight-v100", ".fseventsd", ".temporaryitems", "network trash folder"),
    *("temporary items", ".documentrevisions-v100"),  # macOS
    *("lost+found", ".trash", ".thumbnails"),  # Linux
    *("@eadir", "#recycle", "@recycle", "#snapshot", "~snapshot", ".snapshot"),  # disk servers
    *("@recently-snapshot", ".ipynb_checkpoints"),
}
"""Folders, in lower case, in which systems and programs keep copies of images of their own."""
_UNSEEN = _NO_IMAGES | _LEFT_BEHIND


def visible(name: str) -> bool:
    """Whether a file or folder is meant for people: not hidden, not left behind by a system."""
    return not name.startswith(".") and name.casefold() not in _UNSEEN


def is_known(name: str) -> bool:
    """Whether a hidden file or folder is one of a system, which need not be looked into."""
    folded = name.casefold()
    return folded in _NO_IMAGES or is_left_behind(folded) or name.startswith("._")


def is_left_behind(name: str) -> bool:
    """Whether a folder is one in which a system keeps copies of images."""
    folded = name.casefold()
    return folded in _LEFT_BEHIND or folded.startswith(".trash-")


def is_picture(name: str) -> bool:
    """Whether a file is called as pictures are."""
    return name.rpartition(".")[2].casefold() in PICTURES


def without_hidden(
    files: Sequence["Entry"], folders: Iterable[Parts]
) -> tuple[list["Entry"], list[Parts], list[Parts]]:
    """The visible files and folders, and the names of all others, split at the slashes."""
    known: dict[Parts, bool] = {}

    def seen(parts: Parts) -> bool:
        if parts not in known:
            known[parts] = not parts or (visible(parts[-1]) and seen(parts[:-1]))
        return known[parts]

    kept: list[Entry] = []
    hidden: list[Entry] = []
    for entry in files:
        is_seen = visible(entry.parts[-1]) and seen(entry.parts[:-1])
        (kept if is_seen else hidden).append(entry)
    folders = list(folders)
    left = [entry.parts for entry in hidden] + [parts for parts in folders if not seen(parts)]
    return kept, [parts for parts in folders if seen(parts)], left


def hidden_notes(hidden: Iterable[Parts]) -> list[str]:
    """Notes on hidden images and on folders of systems, which were left out.

    Args:
        hidden: Names of hidden files and folders, split at the slashes.
    """
    left_behind: dict[str, None] = {}
    images: Counter[str] = Counter()
    for parts in hidden:
        depth = next(i for i, part in enumerate(parts) if not visible(part))
        if is_left_behind(parts[depth]):
            left_behind[parts[depth]] = None
        elif not is_known(parts[depth]) and is_picture(parts[-1]):
            images["/".join(parts[: depth + 1])] += 1
    notes = []
    if left_behind:
        notes.append(f"Left out, as systems leave it behind: {enumerated(sorted(left_behind))}.")
    if images:
        where = enumerated([f"{name} ({count})" for name, count in sorted(images.items())])
        notes.append(
            f"{images.total()} hidden image(s) were left out: {where}. Give the files or folders "
            "names that do not begin with a point if they belong to the set."
        )
    return notes
