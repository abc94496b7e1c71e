"""Splits of items with any number of labels: every label as frequent in each part, seeded."""

import numpy as np
import pytest

from striate.data.fold import fold, folds_of
from striate.data.split import assign
from striate.data.stratify import stratify
from striate.errors import DataError

RARE = np.array([0.5, 0.3, 0.1, 0.03, 0.015])
DRAW = np.random.default_rng(2)
PRESENT = DRAW.random((1000, 5)) < RARE
LABELS = [tuple(np.flatnonzero(row).tolist()) for row in PRESENT]
DIGESTS = [f"{n:04x}" for n in range(1000)]
NAMES = tuple("abcde")


def split_of(labels=LABELS, digests=DIGESTS, groups=None, seed=0, test=0.2):
    found = assign(
        digests,
        labels,
        [None] * len(digests),
        NAMES,
        test_fraction=test,
        validation_fraction=0.1,
        seed=seed,
        groups=groups,
    )
    return np.array(found.splits)


def test_each_label_has_its_share_in_each_split() -> None:
    splits = split_of()
    whole = PRESENT.sum(0)
    for split, share in {"test": 0.2, "validation": 0.08, "train": 0.72}.items():
        chosen = splits == split
        assert abs(chosen.sum() - 1000 * share) <= 4
        np.testing.assert_allclose(PRESENT[chosen].sum(0), whole * share, atol=2.5)


def test_random_splits_are_worse_and_a_label_alone_is_not_enough() -> None:
    # The rarest label has 15 items: a random fifth often misses it by two or more.
    rarest = PRESENT[:, 4].sum()
    off = [abs((PRESENT[split_of(seed=s) == "test", 4].sum()) - 0.2 * rarest) for s in range(10)]
    drawn = [
        abs(PRESENT[np.random.default_rng(s).random(1000) < 0.2, 4].sum() - 0.2 * rarest)
        for s in range(10)
    ]
    assert max(off) < 1 < max(drawn)


def test_the_order_does_not_matter_and_the_seed_does() -> None:
    order = np.random.default_rng(4).permutation(1000)
    shuffled = split_of([LABELS[i] for i in order], [DIGESTS[i] for i in order])
    assert (shuffled == split_of()[order]).all()
    assert (split_of(seed=1) != split_of()).sum() > 100


def test_groups_stay_whole() -> None:
    groups = [f"{n // 4:03x}" for n in range(1000)]
    splits = split_of(groups=groups).reshape(250, 4)
    assert (splits == splits[:, :1]).all()
    assert abs((splits == "test").sum() - 200) <= 8


def test_folds_hold_each_label_alike() -> None:
    folds = np.array(folds_of(DIGESTS, LABELS, 5))
    counts = np.array([PRESENT[folds == k].sum(0) for k in range(5)])
    assert (np.ptp(counts, axis=0) <= 3).all()
    assert (np.ptp(np.bincount(folds)) <= 3).all()
    other = np.array(folds_of(DIGESTS, LABELS, 5, seed=1))
    assert (other != folds).sum() > 500
    held = fold(DIGESTS, DIGESTS, LABELS, NAMES, (2, 5, 0))[1]
    assert (np.sort(held) == np.flatnonzero(folds == 2)).all()


def test_four_items_by_hand() -> None:
    # Label 1 is the rarest (items 2, 3), then label 0 (items 0, 1), one of each to each part.
    parts = stratify([[0], [1], [2], [3]], [(0,), (0,), (0, 1), (1,)], [0.5, 0.5], lambda g: g)
    assert parts[2] != parts[3]
    assert parts[0] != parts[2]
    assert sorted(parts) == [0, 0, 1, 1]


def test_of_very_few_items_one_is_held_out_if_its_labels_remain() -> None:
    splits = split_of([(0, 1), (1,), (0,), (2,), (2, 3, 4), (3, 4), (0, 1)], DIGESTS[:7])
    assert {"train", "validation", "test"} == set(splits)
    with pytest.raises(DataError, match="'c' has no readable image to train on"):
        split_of([(0,), (1,), (0, 1), (3,), (4, 3), (4,)], DIGESTS[:6])


def test_items_without_labels_are_spread_too() -> None:
    labels = [() if n % 2 else LABELS[n] for n in range(1000)]
    splits = split_of(labels)
    assert abs((splits[1::2] == "test").sum() - 100) <= 12
