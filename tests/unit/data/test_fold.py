"""Folds: every image once, groups whole, classes even; refused where they cannot be made."""

import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from striate.data import BatchLoader, Normalisation, prepare
from striate.data.fold import fold, folds_of
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
        counts = Counter(f for f, own in zip(folds, labels, strict=True) if own == label)
        assert max(counts[f] for f in range(5)) - min(counts[f] for f in range(5)) <= 8


def test_single_images_divide_each_class_evenly():
    labels = [0] * 23 + [1] * 11
    folds = folds_of([str(i) for i in range(34)], labels, 4)
    for label, least in ((0, 5), (1, 2)):
        counts = Counter(f for f, own in zip(folds, labels, strict=True) if own == label)
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


def test_a_fold_is_other_rows_of_the_set_without_folds_decoded_once(photos, config_of, monkeypatch):
    shutil.copy(photos / "ant/1.png", photos / "bee/copy.png")
    plain = prepare(config_of(photos))
    monkeypatch.setattr("striate.data.dataset.build", None)
    stored = {n: i for i, n in enumerate(plain.train.names + plain.validation.names)}
    pixels = np.concatenate([plain.train.images[:], plain.validation.images[:]])
    held: list[str] = []
    for number in range(4):
        dataset = prepare(config_of(photos, folds=4, fold=number))
        assert dataset.test.digest == plain.test.digest
        assert dataset.digest == plain.digest
        assert dataset.validation_origin == "fold"
        assert sorted(dataset.train.names + dataset.validation.names) == sorted(stored)
        for part in (dataset.train, dataset.validation):
            assert list(part.names) == sorted(part.names)
            np.testing.assert_array_equal(part.images[:], pixels[[stored[n] for n in part.names]])
        counts = dataset.counts_per_class
        assert sum(counts["train"]) == len(dataset.train)
        assert counts["test"] == plain.counts_per_class["test"]
        held += dataset.validation.names
        assert len({"ant/1.png", "bee/copy.png"} & set(dataset.validation.names)) != 1
    assert sorted(held) == sorted(stored)
    other = prepare(config_of(photos, folds=4, fold_seed=1))
    assert list(other.validation.names) != held[: len(other.validation)]


def test_batches_of_a_fold_are_those_of_its_images_in_memory(photos, config_of):
    dataset = prepare(config_of(photos, folds=3, fold=1))
    copied = replace(dataset.train, images=np.ascontiguousarray(dataset.train.images[:]))
    normalise = Normalisation.measure(dataset.train.images)
    assert normalise == Normalisation.measure(copied.images)
    one, other = (BatchLoader(part, 5, 2, normalise) for part in (dataset.train, copied))
    for step in range(7):
        assert torch.equal(one.batch(step)["image"], other.batch(step)["image"])
    assert not torch.equal(one.batch(0)["image"], one.batch(1)["image"])


def test_a_class_whose_images_lie_in_one_fold_is_refused():
    names = [f"{i}.png" for i in range(6)]
    # Three groups have both classes, the others one; the third class lies in two of them.
    groups, labels = ["p", "p", "q", "q", "r", "r"], [0, 1, 0, 1, 0, 1]
    train, validation, _ = fold(names, groups, labels, ["cat", "dog"], (1, 2, 0))
    assert sorted([*train, *validation]) == list(range(6))
    with pytest.raises(DataError, match=r"cow'? lie in one of 2 folds"):
        fold(names, groups, labels, ["cat", "dog", "cow"], (0, 2, 0))
