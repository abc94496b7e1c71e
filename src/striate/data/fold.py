"""Folds for cross-validation: every development image is held out once, groups stay whole."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from striate.data.source import Split
from striate.data.spelling import enumerated
from striate.data.split import rank, small_notes
from striate.data.stratify import Membership, are_several, each, stratify
from striate.errors import DataError


def fold(
    names: Sequence[str],
    groups: Sequence[str],
    labels: Sequence[Membership],
    class_names: Sequence[str],
    which: tuple[int, int, int],
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The indices of the images to train on and of the fold that validates, by name; and notes.

    Args:
        names: Names of the items, in any order.
        groups: Group of each item.
        labels: Class indices, or the labels of each item, perhaps several or none.
        class_names: Names of all classes; empty where the labels are groups of similar items.
        which: Number of the fold, number of folds, random seed.

    Raises:
        DataError: So many folds cannot be made.
    """
    number, num_folds, seed = which
    of = folds_of(groups, labels, num_folds, seed=seed, are_classes=bool(class_names))
    splits: list[Split] = ["validation" if held == number else "train" for held in of]
    order = sorted(range(len(names)), key=names.__getitem__)
    train = [i for i in order if splits[i] == "train"]
    validation = [i for i in order if splits[i] == "validation"]
    trained = {label for i in train for label in each(labels[i])}
    lacking = [name for label, name in enumerate(class_names) if label not in trained]
    if lacking:
        raise DataError(
            f"All images of {enumerated(lacking)} lie in one of {num_folds} folds, since they "
            "belong to the same groups; none would be left to train on. Take fewer folds."
        )
    notes = small_notes(splits, labels, class_names, "validation")
    return np.array(train, np.int64), np.array(validation, np.int64), notes


def folds_of(
    groups: Sequence[str],
    labels: Sequence[Membership],
    num_folds: int,
    *,
    seed: int = 0,
    are_classes: bool = True,
) -> list[int]:
    """The fold 0..num_folds - 1 of each item: similar in classes and size, groups undivided.

    Large groups come first, the others in the order of a hash of seed and name; each goes to the
    fold where its classes are rarest so far. So the folds follow from the contents alone.

    Args:
        groups: Group of each item.
        labels: Class indices, or the labels of each item, perhaps several or none.
        num_folds: Number of folds, 2 or more.
        seed: Random seed; another one gives other folds, for repeated cross-validation.
        are_classes: Whether each label must occur in two groups, as a class must.

    Raises:
        DataError: Fewer groups than folds, or a class that is a single group.

    Example:
        >>> folds_of(["a", "b", "c", "d", "b"], [0, 0, 1, 1, 0], 2)
        [1, 0, 1, 0, 0]
    """
    members: dict[str, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        members[group].append(i)
    homes: dict[int, set[str]] = defaultdict(set)
    for group, of_item in zip(groups, labels, strict=True):
        for label in each(of_item):
            homes[label].add(group)
    alone = are_classes and sum(len(of_class) == 1 for of_class in homes.values())
    if len(members) < num_folds or alone:
        single = f"; {alone} class(es) are a single group of images" if alone else ""
        raise DataError(
            f"{num_folds} folds cannot be made of {len(members)} group(s) of images{single}. Each "
            "class needs two different images at least, and there must be as many as folds: add "
            "images, or take fewer folds."
        )
    if are_several(labels):
        ranks = [int.from_bytes(rank(seed, "fold", name)) for name in members]
        parts = stratify(
            list(members.values()), labels, [1 / num_folds] * num_folds, ranks.__getitem__
        )
        part_of = dict(zip(members, parts, strict=True))
        return [part_of[group] for group in groups]
    totals = Counter(labels)
    held: list[Counter[Membership]] = [Counter() for _ in range(num_folds)]
    sizes = [0] * num_folds
    fold_of: dict[str, int] = {}
    for group in sorted(members, key=lambda name: (-len(members[name]), rank(seed, "fold", name))):
        counts = Counter(labels[i] for i in members[group])

        shares = [
            sum(n * of_fold[label] / totals[label] for label, n in counts.items())
            for of_fold in held
        ]
        _, _, fold = min(zip(shares, sizes, range(num_folds), strict=True))
        fold_of[group] = fold
        held[fold].update(counts)
        sizes[fold] += len(members[group])
    return [fold_of[group] for group in groups]
