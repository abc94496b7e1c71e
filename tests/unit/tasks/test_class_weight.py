"""Weights of classes in the loss: numbers, or balanced by the counts of the training split."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from striate.data import ImageSet
from striate.data.batch import Batch
from striate.data.field import Category, Text
from striate.errors import ConfigError, ShapeError
from striate.losses import LOSSES, balanced_weights
from striate.registry import Pick
from striate.tasks import Classification, Segmentation

LABELS = np.repeat([0, 1, 2], [50, 7, 3])


def training_split(labels: np.ndarray = LABELS) -> ImageSet:
    names = ("",) * len(labels)
    images = np.zeros((len(labels), 2, 2, 1), np.uint8)
    return ImageSet(images, {"category": labels}, {"category": Category("abc")}, names, names)


def pick(weights: Any, name: str = "softmax_cross_entropy") -> Pick:
    return Pick(name, class_weights=weights)


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    task = Classification(pick("balanced"))
    facts = task.prepare(training_split())
    np.testing.assert_allclose(facts["loss"]["class_weights"], expected, rtol=1e-12)
    np.testing.assert_allclose(balanced_weights([50, 7, 3]), expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "focal", "hinge"])
@pytest.mark.parametrize("weights", ["balanced", [0.5, 2, 7.5]])
def test_a_task_weighs_as_torch_does_with_a_tensor(name: str, weights: Any) -> None:
    task = Classification(pick(weights, name))
    task.use(task.prepare(training_split()))
    draw = torch.Generator().manual_seed(0)
    scores = torch.randn(60, 3, generator=draw)
    target = torch.from_numpy(LABELS)
    numbers = [20 / 50, 20 / 7, 20 / 3] if weights == "balanced" else weights
    expected = LOSSES[name](scores, target, class_weights=torch.tensor(numbers))
    torch.testing.assert_close(task.loss(scores, target), expected)
    assert not torch.allclose(expected, LOSSES[name](scores, target))


def test_parts_of_a_batch_add_up_where_classes_have_weights() -> None:
    task = Classification(pick([0.5, 2, 7.5]))
    task.use(task.prepare(training_split()))
    draw = torch.Generator().manual_seed(1)
    scores = torch.randn(60, 3, generator=draw, dtype=torch.float64)
    target = torch.from_numpy(LABELS)

    def weight(rows: slice) -> float:
        return task.weight(Batch({"category": target[rows]}, torch.arange(60)[rows]))

    parts = [slice(0, 40), slice(40, 55), slice(55, 60)]
    total = sum(weight(rows) * task.loss(scores[rows], target[rows]) for rows in parts)
    whole = task.loss(scores, target)
    torch.testing.assert_close(total / weight(slice(0, 60)), whole, rtol=1e-10, atol=0)
    mixed = torch.nn.functional.one_hot(target).float()
    assert task.weight(Batch({"category": mixed}, target)) == pytest.approx(weight(slice(0, 60)))


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1, 2], ["2 numbers for the 3 classes a, b, c", "loss.class_weights=balanced"]),
        ([1, 2, 3, 4], ["4 numbers for the 3 classes"]),
    ],
)
def test_another_number_of_weights_is_refused(weights: Any, words: Sequence[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Classification(pick(weights)).prepare(training_split())
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("weights", ["even", [1, -1, 2], [1, "b"], 3, {"a": 1}])
def test_what_is_no_weight_is_refused_before_data_are_read(weights: Any) -> None:
    with pytest.raises(ConfigError, match=r"Accepted: loss\.class_weights=balanced"):
        Classification(pick(weights)).try_loss()


def test_data_without_classes_have_no_weights() -> None:
    split = training_split()
    texts = ImageSet(
        split.images, {"text": [np.zeros(1)] * 60}, {"text": Text("a")}, split.names, split.digests
    )
    with pytest.raises(ConfigError, match="no classes"):
        Classification(pick("balanced")).prepare(texts)
    assert Classification(Pick("softmax_cross_entropy")).prepare(texts) == {}


def test_a_list_of_another_argument_says_how_many_classes_there_are() -> None:
    Segmentation(Pick("cross_entropy_dice", class_counts=[5, 3, 2, 9])).try_loss()
    with pytest.raises(ShapeError, match="do not fit 3 classes"):
        Segmentation(
            Pick("median_frequency_cross_entropy", class_counts=[5, 3, 2], present_counts=[9, 9])
        ).try_loss()
