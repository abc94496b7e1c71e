"""Folds for cross-validation: every development image is held out once, groups stay whole."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from striate.data.source import Split
from striate.data.spelling import enumerated
from striate.data.split import rank, small_notes
from striate.errors import DataError


class Fold(NamedTuple):
    """One division of the development images: places of both parts, ordered by name."""

    train: np.ndarray
    validation: np.ndarray
    notes: tuple[str, ...]


def fold(
    names: Sequence[str],
    groups: Sequence[str],
    labels: Sequence[int],
    class_names: Sequence[str],
    which: tuple[int, int, int],
) -> Fold:
    """The fold that is held out for validation, and the rest to train on.

    Args:
        names: of the items, in any order.
        groups: what each item belongs to.
        labels: class indices.
        class_names: of all classes; empty where the labels are groups of similar items.
        which: number of the fold, of how many, seed.

    Raises:
        DataError: so many folds cannot be made.
    """
    number, num_folds, seed = which
    of = folds_of(groups, labels, num_folds, seed=seed, are_classes=bool(class_names))
    splits: list[Split] = ["validation" if place == number else "train" for place in of]
    order = sorted(range(len(names)), key=names.__getitem__)
    trained = {labels[i] for i in order if splits[i] == "train"}
    lacking = [name for label, name in enumerate(class_names) if label not in trained]
    if lacking:
        raise DataError(
            f"All images of {enumerated(lacking)} lie in one of {num_folds} folds, since they "
            "belong to the same groups; none would be left to train on. Take fewer folds."
        )
    return Fold(
        np.array([i for i in order if splits[i] == "train"], dtype=np.int64),
        np.array([i for i in order if splits[i] == "validation"], dtype=np.int64),
        tuple(small_notes(splits, labels, class_names, "validation")),
    )


def folds_of(
    groups: Sequence[str],
    labels: Sequence[int],
    num_folds: int,
    *,
    seed: int = 0,
    are_classes: bool = True,
) -> list[int]:
    """The fold 0..num_folds - 1 of each item: alike in classes and size, groups undivided.

    Large groups are placed first, the others in the order of a hash of seed and name; each goes
    where its classes are rarest so far. So the folds follow from the contents alone.

    Args:
        groups: what each item belongs to.
        labels: class indices.
        num_folds: how many, 2 or more.
        seed: another one gives other folds, for repeated cross-validation.
        are_classes: whether each label must occur in two groups, as a class must.

    Raises:
        DataError: fewer groups than folds, or a class that is a single group.

    Example:
        >>> folds_of(["a", "b", "c", "d", "b"], [0, 0, 1, 1, 0], 2)
        [1, 0, 1, 0, 0]
    """
    members: dict[str, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        members[group].append(i)
    homes: dict[int, set[str]] = defaultdict(set)
    for group, label in zip(groups, labels, strict=True):
        homes[label].add(group)
    alone = are_classes and sum(len(found) == 1 for found in homes.values())
    if len(members) < num_folds or alone:
        told = f"; {alone} class(es) are a single group of images" if alone else ""
        raise DataError(
            f"{num_folds} folds cannot be made of {len(members)} group(s) of images{told}. Each "
            "class needs two different images at least, and there must be as many as folds: add "
            "images, or take fewer folds."
        )
    totals = Counter(labels)
    held: list[Counter[int]] = [Counter() for _ in range(num_folds)]
    sizes = [0] * num_folds
    fold_of: dict[str, int] = {}
    for group in sorted(members, key=lambda name: (-len(members[name]), rank(seed, "fold", name))):
        counts = Counter(labels[i] for i in members[group])

        def load(fold: int, counts: Counter[int] = counts) -> tuple[float, int, int]:
            share = sum(n * held[fold][label] / totals[label] for label, n in counts.items())
            return share, sizes[fold], fold

        fold = min(range(num_folds), key=load)
        fold_of[group] = fold
        held[fold].update(counts)
        sizes[fold] += len(members[group])
    return [fold_of[group] for group in groups]
