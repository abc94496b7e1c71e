"""Groups of copies, and what is wrong with each."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from striate.data.near_duplicates import connected

Relation = Literal["leak", "conflict", "straddle", "within"]
"""leak: in the test split and outside it; conflict: of several classes; straddle: in the
training and the validation split; within: of one class and one split."""
_ORDER: tuple[Relation, ...] = ("leak", "conflict", "straddle", "within")


@dataclass(frozen=True)
class Group:
    """Images that are copies or near duplicates of each other."""

    members: tuple[int, ...]
    kind: Literal["exact", "near"]
    relation: Relation
    flipped: bool
    """Whether some are mirrored or turned by quarters against others."""
    agreement: float
    """Agreement of the least certain pair; 1 for exact copies."""


def duplicate_groups(
    exact: Sequence[tuple[int, int]],
    near: Sequence[tuple[int, int, bool, float]],
    splits: Sequence[str],
    labels: Sequence[int | None],
) -> tuple[Group, ...]:
    """Join pairs to groups, the worst first.

    Args:
        exact: Pairs of equal pictures.
        near: Pairs of near duplicates: two items, whether one is turned or mirrored, their
            agreement.
        splits: Split of each item.
        labels: Label of each item; None where it must not be used.
    """
    pairs = [*exact, *((a, b) for a, b, _, _ in near)]
    roots = connected(len(splits), pairs).tolist()
    members: dict[int, list[int]] = defaultdict(list)
    for i in sorted({i for pair in pairs for i in pair}):
        members[roots[i]].append(i)
    near_pairs: dict[int, list[tuple[bool, float]]] = defaultdict(list)
    for a, _, flipped, agreement in near:
        near_pairs[roots[a]].append((flipped, agreement))
    groups = [
        Group(
            tuple(of_group),
            "near" if near_pairs[root] else "exact",
            _relation([splits[i] for i in of_group], [labels[i] for i in of_group]),
            any(flipped for flipped, _ in near_pairs[root]),
            min((agreement for _, agreement in near_pairs[root]), default=1.0),
        )
        for root, of_group in members.items()
    ]
    groups.sort(key=lambda g: (_ORDER.index(g.relation), -len(g.members), g.members))
    return tuple(groups)


def _relation(splits: Sequence[str], labels: Sequence[int | None]) -> Relation:
    if "test" in splits and len(set(splits)) > 1:
        return "leak"
    if len(set(labels) - {None}) > 1:
        return "conflict"
    return "straddle" if len(set(splits)) > 1 else "within"
