"""Groups of pictures that are one picture, and what is wrong with each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from striate.data.near_duplicates import joined

__all__ = ["Group", "Relation", "duplicate_groups"]

Relation = Literal["leak", "conflict", "straddle", "within"]
"""leak: in the test split and outside it; conflict: of several classes; straddle: in the
training and the validation split; within: of one class and one split."""
_ORDER: tuple[Relation, ...] = ("leak", "conflict", "straddle", "within")


@dataclass(frozen=True)
class Group:
    """Pictures that are copies or near copies of each other."""

    members: tuple[int, ...]
    kind: Literal["exact", "near"]
    relation: Relation
    flipped: bool
    """Whether some are mirror images of others."""
    agreement: float
    """Of the least sure link; 1 for exact copies."""
    conflict: bool
    """Whether known labels differ, whatever the relation."""


def duplicate_groups(
    exact: Sequence[tuple[int, int]],
    near: Sequence[tuple[int, int, bool, float]],
    splits: Sequence[str],
    labels: Sequence[int | None],
) -> tuple[Group, ...]:
    """Groups that links join, the worst first.

    Args:
        exact: links between equal pictures.
        near: links between near copies: two items, whether one is mirrored, their agreement.
        splits: of each item.
        labels: of each item; None where the label is not to be looked at.
    """
    links = [*exact, *((a, b) for a, b, _, _ in near)]
    root = joined(len(splits), links)
    members: dict[int, list[int]] = {}
    for i in sorted({i for link in links for i in link}):
        members.setdefault(int(root[i]), []).append(i)
    least = dict.fromkeys(members, 1.0)
    mirrored = dict.fromkeys(members, False)
    close: set[int] = set()
    for a, _, flipped, agreement in near:
        key = int(root[a])
        close.add(key)
        least[key] = min(least[key], agreement)
        mirrored[key] |= flipped
    found = []
    for key, of_group in members.items():
        known = {labels[i] for i in of_group} - {None}
        conflict = len(known) > 1
        found.append(
            Group(
                tuple(of_group),
                "near" if key in close else "exact",
                _relation({splits[i] for i in of_group}, conflict),
                mirrored[key],
                least[key],
                conflict,
            )
        )
    found.sort(key=lambda g: (_ORDER.index(g.relation), -len(g.members), g.members))
    return tuple(found)


def _relation(splits: set[str], conflict: bool) -> Relation:
    if "test" in splits and len(splits) > 1:
        return "leak"
    if conflict:
        return "conflict"
    return "straddle" if len(splits) > 1 else "within"
