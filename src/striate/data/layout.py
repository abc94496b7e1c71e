"""From names of files to classes and splits: class folders, with or without split folders above.

One reading for folders on the disk and for members of an archive, so that a set gives the same
items packed and unpacked.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from striate.data.source import Item, Listing, Split
from striate.data.spelling import enumerated, shown
from striate.errors import DataError

__all__ = ["Entry", "by_name", "class_key", "natural_key", "read_layout", "split_named", "visible"]

_SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
# Left behind by desktops; no person means them as images.
_LITTER = {"thumbs.db", "desktop.ini", "__macosx"}
_LITTER_STARTS = frozenset("." + "".join(name[0] + name[0].upper() for name in _LITTER))
EXPECTED = (
    "Expected one folder for each class (photos/cat/1.jpg, photos/dog/2.jpg), "
    "or such folders inside train/, [validation/] and test/; or a CSV list with the columns "
    "path,label."
)


class Entry(NamedTuple):
    """A file found in a folder or an archive, its name split at the slashes."""

    parts: tuple[str, ...]
    key: Any


def visible(name: str) -> bool:
    """Whether a file or folder is meant for people: not hidden, not a desktop's litter."""
    # Nearly every name is told by its first letter.
    return name[:1] not in _LITTER_STARTS or not (
        name.startswith(".") or name.casefold() in _LITTER
    )


def natural_key(name: str) -> tuple[Any, ...]:
    """Order in which "s2" comes before "s10"."""
    pieces = re.split(r"(\d+)", name.casefold())
    numbered = [(int(p), p) if i % 2 else p for i, p in enumerate(pieces)]
    return tuple(numbered), name


def class_key(name: str) -> str:
    """The key of a class name, without letter case and Unicode composition."""
    return unicodedata.normalize("NFC", name).casefold()


def by_name(items: Sequence[Item]) -> tuple[tuple[Item, ...], list[str]]:
    """Items in the order of their names, and a note on those that were dropped.

    Of several with one name, as archives and lists can have, the last is kept.
    """
    unique = {item.name: item for item in items}
    notes = []
    if len(unique) < len(items):
        counts = Counter(item.name for item in items)
        repeated = sorted(name for name, count in counts.items() if count > 1)
        notes.append(
            f"{len(repeated)} name(s) occur more than once, and only the last of each was kept: "
            f"{enumerated(repeated)}."
        )
    return tuple(unique[name] for name in sorted(unique)), notes


def split_named(name: str) -> Split | None:
    """The split that a folder's name stands for ("val" -> "validation"), or None."""
    return _SPLITS.get(name.casefold())


def read_layout(
    title: str, entries: Iterable[Entry], folders: Iterable[tuple[str, ...]] = ()
) -> Listing:
    """Classes, items and notes of a tree of files.

    Args:
        title: what the tree is called in messages.
        entries: all files.
        folders: all folders, so that empty ones are noticed too.

    Raises:
        DataError: every reason why nothing can be learned from the tree, together.
    """
    tree = _Tree(
        title,
        [entry for entry in entries if all(map(visible, entry.parts))],
        {parts for parts in folders if all(map(visible, parts))},
    )
    if not tree.files:
        raise DataError(f"{title} holds no files. {EXPECTED}")
    tree.look_through_wrappers()
    tops = tree.tops()
    splits = [top for top in tops if split_named(top)]
    if not splits:
        return _flat(tree)
    if not any(split_named(top) == "train" for top in splits):
        raise DataError(
            f"{title} holds {enumerated(splits)} but no train/ beside it. Put the class folders of "
            "the training images into train/, or rename the folder if it is a class."
        )
    return _split(tree, splits)


@dataclass
class _Tree:
    title: str
    files: list[Entry]
    folders: set[tuple[str, ...]]
    notes: list[str] = field(default_factory=list)

    def tops(self) -> list[str]:
        """Names of the folders at the top, empty ones too."""
        names = {entry.parts[0] for entry in self.files if len(entry.parts) > 1}
        return sorted(names | {parts[0] for parts in self.folders if parts}, key=natural_key)

    def look_through_wrappers(self) -> None:
        """Take off a single folder around everything, as archives often have one."""
        while len(tops := self.tops()) == 1 and not split_named(tops[0]):
            beside = [entry for entry in self.files if len(entry.parts) == 1]
            if not any(len(entry.parts) > 2 for entry in self.files):
                return
            self._say_left_out(beside)
            self.files = [
                Entry(entry.parts[1:], entry.key) for entry in self.files if len(entry.parts) > 1
            ]
            self.folders = {parts[1:] for parts in self.folders if len(parts) > 1}

    def below(self, top: str) -> "_Tree":
        return _Tree(
            f"{self.title}/{shown(top)}",
            [
                Entry(e.parts[1:], e.key)
                for e in self.files
                if e.parts[0] == top and len(e.parts) > 1
            ],
            {parts[1:] for parts in self.folders if parts[:1] == (top,) and len(parts) > 1},
        )

    def by_class(self) -> dict[str, list[Entry]]:
        """Files of each top folder; folders without any file have an empty list."""
        classes: dict[str, list[Entry]] = {top: [] for top in self.tops()}
        for entry in self.files:
            if len(entry.parts) > 1:
                classes[entry.parts[0]].append(entry)
        return classes

    def loose(self) -> list[Entry]:
        return [entry for entry in self.files if len(entry.parts) == 1]

    def _say_left_out(self, files: Sequence[Entry]) -> None:
        if files:
            self.notes.append(
                f"{len(files)} file(s) beside the class folders of {self.title} were left out: "
                f"{enumerated([entry.parts[-1] for entry in files])}."
            )


def _flat(tree: _Tree) -> Listing:
    classes = tree.by_class()
    if not classes:
        raise DataError(f"{tree.title} holds {len(tree.files)} files but no folders. {EXPECTED}")
    problems = _case_problems(tree.title, classes)
    tree._say_left_out(tree.loose())
    names = _drop_empty(tree, classes)
    _check(tree.title, names, problems)
    items = [
        Item("/".join(entry.parts), label, None, entry.key)
        for label, name in enumerate(names)
        for entry in classes[name]
    ]
    unique, repeats = by_name(items)
    return Listing(tuple(names), unique, (*tree.notes, *repeats))


def _split(tree: _Tree, tops: Sequence[str]) -> Listing:
    problems: list[str] = []
    chosen: dict[Split, str] = {}
    for top in tops:
        split = _SPLITS[top.casefold()]
        if split in chosen:
            problems.append(
                f"{tree.title} holds {chosen[split]}/ and {top}/, which both mean the {split} "
                "split. Keep one of them."
            )
        chosen[split] = top
    others = [top for top in tree.tops() if not split_named(top)]
    if others:
        tree.notes.append(f"Folders beside train/ were left out: {enumerated(others)}.")
    tree._say_left_out(tree.loose())
    parts = {split: tree.below(top) for split, top in chosen.items()}
    classes = {split: part.by_class() for split, part in parts.items()}
    for split, part in parts.items():
        problems += _split_problems(split, part, classes[split])
        part._say_left_out(part.loose())
    names = _drop_empty(parts["train"], classes["train"])
    labels = {class_key(name): label for label, name in enumerate(names)}
    respelled: dict[str, str] = {}
    items: list[Item] = []
    for split, of_class in classes.items():
        strangers = []
        for name, entries in of_class.items():
            label = labels.get(class_key(name))
            if label is None:
                strangers += [name] if entries else []
                continue
            if name != names[label]:
                respelled[name] = names[label]
            top = chosen[split]
            items += [Item("/".join((top, *e.parts)), label, split, e.key) for e in entries]
        if strangers:
            problems.append(
                f"{parts[split].title} has classes without training images: "
                f"{enumerated(strangers)}. A network cannot learn them; add training "
                "images or take the folders away."
            )
    _check(tree.title, names, problems)
    _note_spellings(tree, respelled)
    notes = [note for part in (tree, *parts.values()) for note in part.notes]
    notes += _missing_notes(names, classes, parts)
    unique, repeats = by_name(items)
    return Listing(tuple(names), unique, (*notes, *repeats))


def _split_problems(split: Split, part: _Tree, classes: dict[str, list[Entry]]) -> list[str]:
    if not part.files:
        return [
            f"{part.title}/ is empty. Fill it, or take it away to have a {split} split held out."
        ]
    if not classes:
        return [
            f"{part.title}/ holds {len(part.files)} files but no class folders, so their classes "
            "are unknown. Sort them into class folders, or take the folder away."
        ]
    return _case_problems(part.title, classes)


def _case_problems(title: str, classes: Iterable[str]) -> list[str]:
    """Folders of one split that differ only in case.

    Refused, not merged: in a set of letters "a" and "A" are two classes, in a set that two
    people sorted "Cat" and "cat" are one, and only the owner knows.
    """
    spellings: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        spellings[class_key(name)].append(name)
    return [
        f"{title} has folders whose names differ only in letter case: {enumerated(names)}. "
        "Merge them if they are one class, or rename them (a_lower, a_upper) if they are two."
        for names in spellings.values()
        if len(names) > 1
    ]


def _drop_empty(tree: _Tree, classes: dict[str, list[Entry]]) -> list[str]:
    """Class names with files, in order; a folder without any is dropped and noted."""
    empty = [name for name, entries in classes.items() if not entries]
    if empty:
        tree.notes.append(f"Empty class folders of {tree.title} were dropped: {enumerated(empty)}.")
    return [name for name, entries in classes.items() if entries]


def _check(title: str, names: Sequence[str], problems: list[str]) -> None:
    if len(names) == 1:
        problems.append(
            f"{title} has a single class, {names[0]!r}; a classifier needs two or more. {EXPECTED}"
        )
    if problems:
        raise DataError("\n".join(problems))


def _note_spellings(tree: _Tree, respelled: dict[str, str]) -> None:
    if respelled:
        pairs = [f"{other} = {name}" for other, name in sorted(respelled.items())]
        tree.notes.append(
            f"Class names spelled differently between splits were joined: {enumerated(pairs)}."
        )


def _missing_notes(
    names: Sequence[str],
    classes: dict[Split, dict[str, list[Entry]]],
    parts: dict[Split, _Tree],
) -> list[str]:
    notes = []
    for split, of_class in classes.items():
        present = {class_key(name) for name, entries in of_class.items() if entries}
        missing = [name for name in names if class_key(name) not in present]
        if missing:
            notes.append(
                f"{parts[split].title} has no images of {enumerated(missing)}; "
                "nothing is measured there."
            )
    return notes
