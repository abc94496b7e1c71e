"""The gate before training: which pictures are one picture, and which of them leak.

Copies, near copies, and pictures of one named group (a patient, a film) belong together. Where we
divide a set, they stay on one side; where the set itself puts one of them into its test split and
another beside it, that is a leak: the network has seen what it is measured on.

Test pictures are compared with the others here by their pixels alone. Their labels take no part.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from striate import durable
from striate.data import cache
from striate.data.near_duplicates import find_pairs, joined
from striate.data.source import Item, Progress
from striate.data.spelling import enumerated, shown
from striate.errors import DataError

__all__ = [
    "SMALLEST",
    "DuplicateCheck",
    "Leak",
    "check_duplicates",
    "leak_message",
    "leak_note",
    "named_groups",
]

# Candidates looked at closely, as a share of the pictures: the most alike ones. It bounds what
# the gate costs before a training; `inspect` looks at twenty times as many.
_LOOKS = 0.1
# A change of the search starts its memos anew.
_SEARCH = "near duplicates 2"
_SHOWN = 5
SMALLEST = 16
"""Shorter side of a picture, pixels, below which likeness is no sign of a copy: two 8×8 digits
agree as well as two copies of one."""


@dataclass(frozen=True)
class Leak:
    """A test picture that has its like among the images beside the test split."""

    test: str
    """Name of the test picture."""
    beside: str
    """Name of its like in the training or validation split."""
    kind: Literal["exact", "near", "group"]
    """Pixel for pixel; resized, recompressed or cut; or of the same named group."""


class DuplicateCheck(NamedTuple):
    """Groups of near duplicates, and leaks out of the test split."""

    groups: tuple[str, ...]
    """The group of each item, named by the smallest digest in it."""
    leaks: tuple[Leak, ...]
    """One for each test picture that leaks."""
    leaking: frozenset[int]
    """Places of the items beside the test split that it has the like of."""
    num_near: int
    """Pairs of near duplicates."""

    def describe(self, action: str) -> dict[str, Any]:
        """JSON values for set.json: what was found, and what was done with it."""
        return {
            "leaks": [asdict(leak) for leak in self.leaks],
            "leaks_dropped": len(self.leaking) if action == "drop" else 0,
            "near_pairs": self.num_near,
        }


def check_duplicates(
    items: Sequence[Item],
    digests: Sequence[str],
    sides: Sequence[int],
    thumbnails: np.ndarray,
    pattern: str | None = None,
    progress: Progress | None = None,
    rows: np.ndarray | None = None,
) -> DuplicateCheck:
    """Find groups of near duplicates, and leaks out of the test split that a set names.

    Args:
        items: in any order.
        digests: of their pictures.
        sides: their shorter sides, pixels.
        thumbnails: (N, 32, 32, 3) uint8 of the same; they may lie on the disk.
        pattern: where the items' names hold the name of a group, see `named_groups`.
        progress: told how far it is.
        rows: which thumbnail is each item's; None: they have the order of the items.

    Raises:
        DataError: a name does not fit the pattern.
    """
    first: dict[str, int] = {}
    for i in sorted(range(len(items)), key=lambda i: (digests[i], items[i].name)):
        first.setdefault(digests[i], i)
    unique = list(first)
    large = [number for number, i in enumerate(first.values()) if sides[i] >= SMALLEST]
    places = np.array(list(first.values()), dtype=np.int64)
    places = places if rows is None else rows[places]
    pairs = _pairs(unique, np.array(large, dtype=np.int64), thumbnails, places, progress)
    place = {digest: number for number, digest in enumerate(unique)}
    of_item = [place[digest] for digest in digests]
    names = named_groups(items, pattern)
    by_name: dict[str, int] = {}
    links = [
        (of_item[i], by_name.setdefault(name, of_item[i]))
        for i, name in enumerate(names)
        if name is not None
    ]
    roots = joined(len(unique), [*map(tuple, pairs.tolist()), *links])
    groups = tuple(unique[roots[number]] for number in of_item)
    leaks, leaking = _leaks(items, of_item, pairs, names)
    return DuplicateCheck(groups, leaks, leaking, len(pairs))


def named_groups(items: Sequence[Item], pattern: str | None) -> list[str | None]:
    """The name of each item's group: of the list's column "group", or by a pattern.

    Args:
        items: with names such as "train/cat/patient7/3.png".
        pattern: such as "*/GROUP/*" or "*/patientGROUP_*": GROUP stands for the name of the group,
            * for anything within one folder, ** for anything.

    Raises:
        DataError: the pattern names no group, or names of items do not fit it.

    Example:
        >>> named_groups([Item("cat/p7/3.png", 0, None)], "*/GROUP/*")
        ['p7']
    """
    if pattern is None:
        return [item.group for item in items]
    if pattern.count("GROUP") != 1:
        raise DataError(
            f"The pattern of groups {pattern!r} does not say where the name of the group stands. "
            'Write GROUP there once, as in "*/GROUP/*" or "*/patientGROUP_*".'
        )
    spelled = {"**": ".*", "*": "[^/]*", "GROUP": "(?P<group>[^/]+?)"}
    pieces = re.split(r"(\*\*|\*|GROUP)", pattern)
    fitting = re.compile("".join(spelled.get(piece, re.escape(piece)) for piece in pieces))
    found = [fitting.fullmatch(item.name) for item in items]
    strange = [item.name for item, fits in zip(items, found, strict=True) if fits is None]
    if strange:
        raise DataError(
            f"{len(strange)} of {len(items)} names do not fit the pattern of groups {pattern!r}: "
            f"{enumerated(strange, most=3)}. GROUP stands for the name of the group, * for "
            "anything within one folder, ** for anything."
        )
    return [None if fits is None else fits["group"] for fits in found]


def leak_message(title: str, num_test: int, leaks: Sequence[Leak]) -> str:
    """Why a training stops: counts, examples, and the ways on."""
    counts = {kind: sum(leak.kind == kind for leak in leaks) for kind in _KINDS}
    told = ", ".join(f"{count} {_KINDS[kind]}" for kind, count in counts.items() if count)
    lines = [
        f"{len(leaks):,} of the {num_test:,} test images of {title} have their like among the "
        f"training or validation images ({told}):",
        *(
            f"  {shown(leak.test)}  =  {shown(leak.beside)}  ({leak.kind})"
            for leak in leaks[:_SHOWN]
        ),
    ]
    if len(leaks) > _SHOWN:
        lines.append(f"  and {len(leaks) - _SHOWN:,} more")
    return "\n".join(
        [
            *lines,
            "A test error measured so is too good. Look at the pictures (striate inspect), then",
            "  --drop-leaks   train without the images that have their like in the test split, or",
            "  --allow-leaks  train on all of them; the report will say so.",
        ]
    )


def leak_note(num_leaks: int, num_test: int, dropped: int, published: bool) -> str:
    """One sentence for the person and for the report on leaks that did not stop a training."""
    told = f"{num_leaks:,} of {num_test:,} test images have their like"
    if dropped:
        return f"{told} outside the test split; those {dropped:,} image(s) were left out."
    reason = (
        "it is a published split, and results elsewhere share the flaw"
        if published
        else "--allow-leaks was given"
    )
    return (
        f"{told} among the training or validation images, and were kept because {reason}. The "
        "test error is a little better than on new images."
    )


_KINDS = {
    "exact": "pixel for pixel",
    "near": "resized, recompressed or cut",
    "group": "of one group",
}


def _pairs(
    unique: list[str],
    large: np.ndarray,
    thumbnails: np.ndarray,
    rows: np.ndarray,
    progress: Progress | None,
) -> np.ndarray:
    """(P, 2) places in `unique` of near duplicates; remembered by the pictures' content."""
    memo = cache.memo_path("pairs", _SEARCH, _LOOKS, [unique[i] for i in large])
    known = cache.read_json(memo)
    if not isinstance(known, list):
        found = find_pairs(thumbnails, rows=rows[large], looks=_LOOKS, progress=progress)
        known = np.stack([found.first, found.second], 1).tolist()
        durable.write_json(memo, known)
    return large[np.array(known, dtype=np.int64).reshape(-1, 2)]


def _leaks(
    items: Sequence[Item],
    of_item: Sequence[int],
    pairs: np.ndarray,
    names: Sequence[str | None],
) -> tuple[tuple[Leak, ...], frozenset[int]]:
    """For each test item its surest like beside the test split, and all of those."""
    beside: dict[int, list[int]] = defaultdict(list)
    of_group: dict[str, list[int]] = defaultdict(list)
    near: dict[int, list[int]] = defaultdict(list)
    for i, item in enumerate(items):
        if item.split != "test":
            beside[of_item[i]].append(i)
            if names[i] is not None:
                of_group[str(names[i])].append(i)
    for a, b in pairs.tolist():
        near[a].append(b)
        near[b].append(a)
    leaks: list[Leak] = []
    leaking: set[int] = set()
    for i, item in enumerate(items):
        if item.split != "test":
            continue
        likes: dict[Literal["exact", "near", "group"], list[int]] = {
            "exact": beside.get(of_item[i], []),
            "near": [k for other in near.get(of_item[i], []) for k in beside.get(other, [])],
            "group": of_group.get(str(names[i]), []) if names[i] is not None else [],
        }
        for kind, found in likes.items():
            if found:
                chosen = min(items[k].name for k in found)
                leaks.append(Leak(item.name, chosen, kind))
                break
        leaking.update(k for found in likes.values() for k in found)
    order = {"exact": 0, "near": 1, "group": 2}
    leaks.sort(key=lambda leak: (order[leak.kind], leak.test))
    return tuple(leaks), frozenset(leaking)
