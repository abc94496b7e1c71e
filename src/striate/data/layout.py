"""Classes and splits from names of files: class folders, with or without split folders above.

One reading for folders on the disk and for members of an archive, so that a set gives the same
items packed and unpacked.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from striate.data.field.value import are_numbers, are_values
from striate.data.hidden import is_picture
from striate.data.source import Item, Listing, Split
from striate.data.spelling import (
    class_key,
    composed,
    confusable,
    difference,
    enumerated,
    natural_key,
    shown,
)
from striate.errors import DataError

_SPLITS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
DESCRIPTIONS = ("classes.json", "classes.txt")
"""Files about the whole set: the names of the classes of its pixels, the first that is there."""
_INNER = "classes: --target-pattern '**/{label}/*'"
EXPECTED = (
    "Expected one folder for each class (photos/cat/1.jpg, photos/dog/2.jpg), "
    "or such folders inside train/, [validation/] and test/; or a CSV list with the columns "
    "path,label."
)


class Entry(NamedTuple):
    """A file of a folder or an archive, its name split at the slashes."""

    parts: tuple[str, ...]
    key: Any


def name_parts(name: str) -> tuple[str, ...]:
    """A member's name split at the slashes, without empty parts and "."."""
    return tuple(part for part in name.split("/") if part not in ("", "."))


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
    """Find the classes, items and notes of a tree of files.

    Args:
        title: Name of the tree in messages.
        entries: All visible files.
        folders: All visible folders, so that empty ones are noticed too.

    Raises:
        DataError: Every reason why nothing can be learned from the tree, together.
    """
    tree = _Tree(title, (), list(entries), set(folders))
    if not tree.files:
        raise DataError(f"{title} holds no files. {EXPECTED}")
    notes: list[str] = []
    classes = tree.classes()
    # A single folder around everything, as archives often have one, is no class.
    while len(classes) == 1 and any(len(entry.parts) > 2 for entry in tree.files):
        top = next(iter(classes))
        if split_named(top):
            break
        notes += _left_out(tree)
        tree = tree.below(top)._replace(title=title, prefix=())
        classes = tree.classes()
    tops = [top for top in classes if split_named(top)]
    if not classes:
        raise DataError(f"{title} holds {len(tree.files)} files but no folders. {EXPECTED}")
    if not tops:
        return _listing({None: tree}, notes, [])
    if not any(split_named(top) == "train" for top in tops):
        raise DataError(
            f"{title} holds {enumerated(tops)} but no train/ beside it. Put the class folders of "
            "the training images into train/, or rename the folder if it is a class."
        )
    others = [top for top in classes if not split_named(top)]
    _refuse_classes(title, tops, {top: classes[top] for top in others})
    trees: dict[Split | None, _Tree] = {}
    problems = []
    for top in tops:
        split = split_named(top)
        if split in trees:
            problems.append(
                f"{title} holds {trees[split].prefix[0]}/ and {top}/, which both mean the {split} "
                "split. Keep one of them."
            )
        trees[split] = tree.below(top)
    if others:
        notes.append(f"Folders beside train/ were left out: {enumerated(others)}.")
    return _listing(trees, notes + _left_out(tree), problems)


def _refuse_classes(title: str, tops: Sequence[str], others: Mapping[str, Sequence[Entry]]) -> None:
    """Refuse a folder train/ among class folders: it may be a class as well as a split."""
    images = [
        top for top, entries in others.items() if any(is_picture(e.parts[-1]) for e in entries)
    ]
    if len(tops) > 1 or not images:
        return
    raise DataError(
        f"{title} holds {tops[0]}/ and beside it folders with images that are no split: "
        f"{enumerated(images)}. If {tops[0]} is a class, rename the folder (class_{tops[0]}, say) "
        "or give a list of the images (path,label). If it holds the images to train on, move the "
        "other folders away."
    )


class _Tree(NamedTuple):
    """Files and folders below a folder; `prefix` are the names above them in an item's name."""

    title: str
    prefix: tuple[str, ...]
    files: list[Entry]
    folders: set[tuple[str, ...]]

    def spellings(self) -> dict[str, str]:
        """The name of the class of each folder at the top, in natural order.

        Names that differ in nothing but composed and decomposed letters (é as one character or as
        two) look the same, and are one class: the first of them.
        """
        tops = {parts[0] for parts in self.folders if parts}
        tops |= {entry.parts[0] for entry in self.files if len(entry.parts) > 1}
        first: dict[str, str] = {}
        return {top: first.setdefault(composed(top), top) for top in sorted(tops, key=natural_key)}

    def classes(self) -> dict[str, list[Entry]]:
        """Files of each folder at the top, in natural order; empty folders have none."""
        spelled = self.spellings()
        classes: dict[str, list[Entry]] = {top: [] for top in spelled.values()}
        for entry in self.files:
            if len(entry.parts) > 1:
                classes[spelled[entry.parts[0]]].append(entry)
        return classes

    def below(self, top: str) -> "_Tree":
        same = {other for other, name in self.spellings().items() if name == top}
        return _Tree(
            f"{self.title}/{shown(top)}",
            (top,),
            [
                Entry(e.parts[1:], e.key)
                for e in self.files
                if len(e.parts) > 1 and e.parts[0] in same
            ],
            {parts[1:] for parts in self.folders if len(parts) > 1 and parts[0] in same},
        )


def _listing(trees: Mapping[Split | None, _Tree], notes: list[str], problems: list[str]) -> Listing:
    """Items of class folders in each split; None stands for a set that is not divided."""
    classes = {split: tree.classes() for split, tree in trees.items()}
    for split, tree in trees.items():
        problems += _tree_problems(split, tree, classes[split])
        notes += _left_out(tree) + _joined(tree)
    notes += _deeper(trees["train"] if "train" in trees else trees[None])
    learned: Split | None = "train" if "train" in trees else None
    title = trees[learned].title
    names = [name for name, entries in classes[learned].items() if entries]
    everywhere = {
        name for of_split in classes.values() for name, entries in of_split.items() if entries
    }
    values = are_values(everywhere)
    if values:
        # Values need not occur in training to be measured.
        names = sorted(everywhere, key=natural_key)
    if empty := [name for name, entries in classes[learned].items() if not entries]:
        notes.append(f"Empty class folders of {title} were dropped: {enumerated(empty)}.")
    labels = {class_key(name): label for label, name in enumerate(names)}
    numbers = {name: {"value": name} for name in names} if are_numbers(names) else {}
    items: list[Item] = []
    respelled: dict[str, str] = {}
    for split, tree in trees.items():
        filled = {name: entries for name, entries in classes[split].items() if entries}
        if unknown := [name for name in filled if class_key(name) not in labels]:
            problems.append(
                f"{tree.title} has classes without training images: {enumerated(unknown)}. A "
                "network cannot learn them; add training images or take the folders away."
            )
            continue
        for name, entries in filled.items():
            label = labels[class_key(name)]
            if name != names[label]:
                respelled[name] = names[label]
            columns = numbers.get(name)
            items += [
                Item("/".join((*tree.prefix, *e.parts)), label, split, e.key, None, columns)
                for e in entries
            ]
        present = set(map(class_key, filled))
        missing = [name for name in names if class_key(name) not in present]
        if missing and not values:
            notes.append(
                f"{tree.title} has no images of {enumerated(missing)}; nothing is measured there."
            )
    if len(names) == 1:
        problems.append(
            f"{title} has a single class, {names[0]!r}; a classifier needs two or more. {EXPECTED}"
        )
    if problems:
        raise DataError("\n".join(problems))
    if respelled:
        pairs = [f"{other} = {name}" for other, name in sorted(respelled.items())]
        notes.append(
            f"Class names spelled differently between splits were joined: {enumerated(pairs)}."
        )
    unique, repeats = by_name(items)
    return Listing(tuple(names), unique, (*notes, *repeats))


def _left_out(tree: _Tree) -> list[str]:
    loose = [entry.parts[0] for entry in tree.files if len(entry.parts) == 1]
    if not loose:
        return []
    return [
        f"{len(loose)} file(s) beside the class folders of {tree.title} were left out: "
        f"{enumerated(loose)}."
    ]


def _joined(tree: _Tree) -> list[str]:
    """A note on folders whose names look the same."""
    twins = [top for top, name in tree.spellings().items() if top != name]
    if not twins:
        return []
    return [
        f"{len(twins)} folder(s) of {tree.title} are called as another but for composed and "
        f"decomposed letters, and were joined with it: {enumerated(twins)}."
    ]


def _deeper(tree: _Tree) -> list[str]:
    """A note where the class folders hold nothing but folders, which may be the classes."""
    below = [entry for entry in tree.files if len(entry.parts) > 1]
    if any(len(entry.parts) == 2 for entry in below):
        return []
    inner = dict.fromkeys(entry.parts[:2] for entry in below)
    tops = dict.fromkeys(top for top, _ in inner)
    if len(inner) == len(tops):
        return []
    names = ["/".join(parts) for parts in inner]
    splits = all(split_named(name) for _, name in inner)
    way = "splits: --target-pattern '{label}/{split}/*'" if splits else _INNER
    return [
        f"The images of {tree.title} lie in {len(inner)} folders inside others "
        f"({enumerated(names, most=3)}); the outer ones are the classes: {enumerated(list(tops))}. "
        f"If the inner ones are {way}"
    ]


def _tree_problems(split: Split | None, tree: _Tree, classes: Iterable[str]) -> list[str]:
    """Reasons why the class folders of one split cannot be used.

    Names that differ only in case are refused, not merged: in a set of letters "a" and "A" are
    two classes, in a set that two people sorted "Cat" and "cat" are one, and only the owner knows.
    """
    if not tree.files:
        return [
            f"{tree.title}/ is empty. Fill it, or take it away to have a {split} split held out."
        ]
    if not classes:
        return [
            f"{tree.title}/ holds {len(tree.files)} files but no class folders, so their classes "
            "are unknown. Sort them into class folders, or take the folder away."
        ]
    return [
        f"{tree.title} has folders whose names differ only in {difference(names)}. "
        "Merge them if they are one class, or rename them (a_lower, a_upper) if they are two."
        for names in confusable(classes)
    ]
