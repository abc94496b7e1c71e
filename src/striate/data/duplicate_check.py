"""Check before training: which images are copies of each other, and which of them leak.

Copies, near duplicates, and images of one named group (a patient, a film) belong together. Where
we divide a set, they stay on one side; where the set itself puts one of them into its test split
and another outside it, that is a leak: the network has seen what it is measured on.

Test images are compared with the others by their pixels alone. Their labels take no part.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from striate.data import cache
from striate.data.name_pattern import name_expression
from striate.data.near_duplicates import connected, find_pairs
from striate.data.source import Item, Progress
from striate.data.spelling import enumerated, shown
from striate.errors import DataError

# Candidates that are compared closely, as a share of the images: the most similar ones. It bounds
# what the check costs before a training; `inspect` compares twenty times as many.
_CANDIDATES = 0.1
# A change of the search starts its memos anew.
_SEARCH = "near duplicates 3"
_SHOWN = 5
FEW = 0.01
"""Share of the images outside the test split that are left out of a training without a question
because they resemble test images: so few cannot move its figures."""
SMALLEST = 16
"""Shorter side of a picture, pixels, below which similarity is no sign of a copy: two 8×8 digits
agree as well as two copies of one."""

Kind = Literal["exact", "near", "turned", "group"]
_KINDS: dict[Kind, str] = {
    "exact": "pixel for pixel",
    "near": "resized, recompressed or cut",
    "turned": "mirrored or turned",
    "group": "of one group",
}
"""Kinds of leaks, the most certain first."""


@dataclass(frozen=True)
class Leak:
    """A test image with a near-duplicate outside the test split."""

    test: str
    """Name of the test image."""
    beside: str
    """Name of its near-duplicate in the training or validation split."""
    kind: Kind
    """Pixel for pixel; resized, recompressed or cut; mirrored or turned by quarters; or of the same
    named group."""


class DuplicateCheck(NamedTuple):
    """Groups of items that belong together, and leaks."""

    groups: tuple[str, ...]
    """The group of each item, named by the smallest digest in it."""
    leaks: tuple[Leak, ...]
    """One for each test image that leaks."""
    leaking: frozenset[int]
    """Indices of the items outside the test split that leak into it."""
    num_near: int
    """Number of pairs of near duplicates."""
    num_turned: int
    """Number of these of which one is mirrored or turned."""

    def dropped(self, action: str, num_outside: int, published: bool) -> frozenset[int]:
        """Indices of the items to leave out: where that was chosen, or where they are few.

        Args:
            action: What to do about leaks: "stop", "allow" or "drop".
            num_outside: Number of items outside the test split.
            published: Whether others measure on these very splits, which are left as they are.
        """
        few = action == "stop" and not published and len(self.leaking) <= FEW * num_outside
        return self.leaking if few or action == "drop" else frozenset()

    def describe(self, num_dropped: int) -> dict[str, Any]:
        """JSON values for set.json: the leaks, and how many items were dropped for them."""
        return {
            "leaks": [asdict(leak) for leak in self.leaks],
            "leaks_dropped": num_dropped,
            "near_pairs": self.num_near,
            # Sets without any keep the keys that they have always had.
            **({"leaking": len(self.leaking)} if self.leaks else {}),
            **({"turned_pairs": self.num_turned} if self.num_turned else {}),
        }

    def notes(self) -> list[str]:
        """A sentence on copies that a person may not expect to be known as such."""
        if not self.num_turned:
            return []
        return [
            f"{self.num_turned:,} pair(s) of images show one picture, mirrored or turned by "
            "quarters: they count as copies, and no split that Striate makes divides them."
        ]


def check_duplicates(
    items: Sequence[Item],
    digests: Sequence[str],
    sides: Sequence[int],
    thumbnails: np.ndarray,
    pattern: str | None = None,
    progress: Progress | None = None,
    rows: np.ndarray | None = None,
    turned: bool = True,
) -> DuplicateCheck:
    """Find the items that belong together, and those that leak out of a named test split.

    Args:
        items: Items in any order.
        digests: Digests of their pictures.
        sides: Shorter sides of the pictures, pixels.
        thumbnails: (N, 32, 32, 3) uint8 of the same; they may lie on the disk.
        pattern: Pattern of the group in an item's name, see `named_groups`.
        progress: Receives how far the comparison is.
        rows: Row of each item's thumbnail; None: they have the order of the items.
        turned: Whether mirrored and turned copies count as near duplicates.

    Raises:
        DataError: A name does not fit the pattern.
    """
    first: dict[str, int] = {}
    for i in sorted(range(len(items)), key=lambda i: (digests[i], items[i].name)):
        first.setdefault(digests[i], i)
    unique = {digest: number for number, digest in enumerate(first)}
    picture = [unique[digest] for digest in digests]
    index = np.array(list(first.values()), dtype=np.int64)
    large = np.flatnonzero(np.array([sides[i] for i in index]) >= SMALLEST)
    pairs, are_turned = _pairs(
        list(unique), large, thumbnails, index if rows is None else rows[index], progress
    )
    if not turned:
        pairs, are_turned = pairs[~are_turned], are_turned[~are_turned]
    names = named_groups(items, pattern)
    by_name: dict[str, int] = {}
    links = [
        (picture[i], by_name.setdefault(name, picture[i]))
        for i, name in enumerate(names)
        if name is not None
    ]
    roots = connected(len(unique), [*pairs.tolist(), *links])
    digest_of = list(unique)
    groups = tuple(digest_of[roots[number]] for number in picture)
    leaks, leaking = _leaks(items, picture, pairs, are_turned, names)
    return DuplicateCheck(groups, leaks, leaking, len(pairs), int(are_turned.sum()))


def named_groups(items: Sequence[Item], pattern: str | None) -> list[str | None]:
    """Find the name of each item's group, in the list's column "group" or by a pattern.

    Args:
        items: Items with names such as "train/cat/patient7/3.png".
        pattern: Pattern such as "*/GROUP/*" or "*/patientGROUP_*": GROUP stands for the name of
            the group, * for anything within one folder, ** for anything.

    Raises:
        DataError: The pattern names no group, or names of items do not fit it.

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
    expression = name_expression(pattern, {"GROUP": "(?P<group>[^/]+?)"})
    matches = [expression.fullmatch(item.name) for item in items]
    strange = [item.name for item, match in zip(items, matches, strict=True) if match is None]
    if strange:
        raise DataError(
            f"{len(strange)} of {len(items)} names do not fit the pattern of groups {pattern!r}: "
            f"{enumerated(strange, most=3)}. GROUP stands for the name of the group, * for "
            "anything within one folder, ** for anything."
        )
    return [match["group"] if match else None for match in matches]


def leak_message(
    title: str, num_test: int, leaks: Sequence[Leak], leaking: int, num_outside: int
) -> str:
    """Explain why a training stops: counts, examples, and what to do.

    Args:
        title: Title of the set.
        num_test: Number of test images.
        leaks: Test images with near-duplicates outside the test split.
        leaking: Number of these near-duplicates.
        num_outside: Number of images outside the test split.
    """
    counts = Counter(leak.kind for leak in leaks)
    kinds = ", ".join(f"{counts[kind]} {words}" for kind, words in _KINDS.items() if counts[kind])
    few = [f"  {shown(k.test)}  =  {shown(k.beside)}  ({k.kind})" for k in leaks[:_SHOWN]]
    more = [f"  and {len(leaks) - _SHOWN:,} more"] if len(leaks) > _SHOWN else []
    return "\n".join(
        [
            f"{len(leaks):,} of the {num_test:,} test images of {title} have near-duplicates "
            f"among the training or validation images ({kinds}):",
            *few,
            *more,
            f"These are {leaking:,} of the {num_outside:,} other images; at most {100 * FEW:g} % "
            "would be left out without a question. The test error would be too good. See the "
            "pictures (striate inspect), then add",
            "  --drop-leaks   to train without the near-duplicates of test images, or",
            "  --allow-leaks  to train on all images; the report will say so.",
        ]
    )


def leak_note(num_leaks: int, num_test: int, dropped: int, published: bool) -> str:
    """One sentence for the person and the report on leaks that did not stop a training."""
    leaks = f"{num_leaks:,} of {num_test:,} test images have near-duplicates"
    if dropped:
        return f"{leaks} outside the test split; those {dropped:,} image(s) were left out."
    reason = (
        "it is a published split, and results elsewhere share the flaw"
        if published
        else "--allow-leaks is set"
    )
    return (
        f"{leaks} among the training or validation images, which were kept because {reason}. The "
        "test error is a little better than on new images."
    )


def _pairs(
    digests: list[str],
    large: np.ndarray,
    thumbnails: np.ndarray,
    rows: np.ndarray,
    progress: Progress | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Positions in `digests` of near duplicates (P, 2), and whether one of them is turned (P,).

    They are remembered by the pictures' content.
    """
    memo = cache.memo_path("pairs", _SEARCH, _CANDIDATES, [digests[i] for i in large])
    known = cache.read_memo(memo)
    if not isinstance(known, list):
        pairs = find_pairs(thumbnails, rows=rows[large], candidates=_CANDIDATES, progress=progress)
        known = np.stack([pairs.first, pairs.second, pairs.turned], 1).tolist()
        cache.write_memo(memo, known)
    columns = np.array(known, dtype=np.int64).reshape(-1, 3)
    return large[columns[:, :2]], columns[:, 2] > 0


def _leaks(
    items: Sequence[Item],
    picture: Sequence[int],
    pairs: np.ndarray,
    are_turned: np.ndarray,
    names: Sequence[str | None],
) -> tuple[tuple[Leak, ...], frozenset[int]]:
    """For each test item its most certain near-duplicate outside the test split; and all those."""
    outside: dict[int, list[int]] = defaultdict(list)
    of_group: dict[str | None, list[int]] = defaultdict(list)
    near: dict[int, list[int]] = defaultdict(list)
    turned: dict[int, list[int]] = defaultdict(list)
    for i, item in enumerate(items):
        if item.split != "test":
            outside[picture[i]].append(i)
            of_group[names[i]].append(i)
    of_group[None] = []
    for (a, b), is_turned in zip(pairs.tolist(), are_turned, strict=True):
        kind_of_pair = turned if is_turned else near
        kind_of_pair[a].append(b)
        kind_of_pair[b].append(a)
    leaks: list[Leak] = []
    leaking: set[int] = set()
    for i, item in enumerate(items):
        if item.split != "test":
            continue
        duplicates: dict[Kind, list[int]] = {
            "exact": outside[picture[i]],
            "near": [k for other in near[picture[i]] for k in outside[other]],
            "turned": [k for other in turned[picture[i]] for k in outside[other]],
            "group": of_group[names[i]],
        }
        for kind, indices in duplicates.items():
            if indices:
                leaks.append(Leak(item.name, min(items[k].name for k in indices), kind))
                break
        leaking.update(k for indices in duplicates.values() for k in indices)
    leaks.sort(key=lambda leak: (list(_KINDS).index(leak.kind), leak.test))
    return tuple(leaks), frozenset(leaking)
