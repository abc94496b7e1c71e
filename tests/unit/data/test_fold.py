"""Folds: every image once, groups whole, classes even; refused where they cannot be made."""

from collections import Counter

import numpy as np
import pytest

from striate.data.fold import folds_of
from striate.data.split import assign
from striate.errors import DataError


def lopsided():
    draw = np.random.default_rng(3)
    groups = [f"g{k}" for k in draw.integers(0, 90, 311)]
    return groups, draw.choice(3, 311, p=[0.6, 0.3, 0.1]).tolist()


def test_groups_stay_whole_and_folds_are_alike_in_size_and_classes():
    groups, labels = lopsided()
    folds = folds_of(groups, labels, 5)
    homes = {
        group: {f for f, g in zip(folds, groups, strict=True) if g == group} for group in groups
    }
    assert {len(home) for home in homes.values()} == {1}
    sizes = Counter(folds)
    assert set(sizes) == set(range(5))
    assert max(sizes.values()) - min(sizes.values()) <= 12
    for label in range(3):
        counts = Counter(f for f, found in zip(folds, labels, strict=True) if found == label)
        assert max(counts[f] for f in range(5)) - min(counts[f] for f in range(5)) <= 8


def test_single_images_divide_each_class_evenly():
    labels = [0] * 23 + [1] * 11
    folds = folds_of([str(i) for i in range(34)], labels, 4)
    for label, least in ((0, 5), (1, 2)):
        counts = Counter(f for f, found in zip(folds, labels, strict=True) if found == label)
        assert {counts[f] - least for f in range(4)} <= {0, 1}


def test_folds_follow_from_contents_and_seed():
    groups, labels = lopsided()
    order = np.random.default_rng(1).permutation(len(groups))
    again = folds_of([groups[i] for i in order], [labels[i] for i in order], 5)
    first = folds_of(groups, labels, 5)
    assert [first[i] for i in order] == again
    assert folds_of(groups, labels, 5, seed=1) != first


def test_too_few_groups_are_refused():
    with pytest.raises(DataError, match=r"4 folds cannot be made of 3 group"):
        folds_of(["a", "b", "c"], [0, 0, 0], 4)
    with pytest.raises(DataError, match=r"1 class\(es\) are a single group"):
        folds_of(["a", "b", "c"], [0, 0, 1], 2)


def test_folds_cover_the_development_images_and_leave_the_test_split_as_it_is():
    digests = [f"d{i}" for i in range(97)]
    labels = [i % 3 for i in range(97)]
    declared = ["validation" if i % 7 == 0 else None for i in range(97)]
    shares = {"test_fraction": 0.2, "validation_fraction": 0.1, "seed": 4}
    plain = assign(digests, labels, declared, list("abc"), **shares)
    test = {i for i, split in enumerate(plain.splits) if split == "test"}
    held = []
    for fold in range(4):
        found = assign(digests, labels, declared, list("abc"), **shares, fold=(fold, 4, 0))
        assert {i for i, split in enumerate(found.splits) if split == "test"} == test
        assert found.validation_origin == "fold"
        held += [i for i, split in enumerate(found.splits) if split == "validation"]
    assert sorted(held) == sorted(set(range(97)) - test)
