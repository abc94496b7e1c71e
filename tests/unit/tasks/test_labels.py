"""Several labels as a task: what its loss takes, weighs and refuses."""

from typing import Any

import numpy as np
import pytest
import torch

from striate.data import ImageSet
from striate.data.batch import Batch
from striate.data.field.labels import Labels as LabelField
from striate.errors import ConfigError
from striate.registry import Pick
from striate.tasks import Labels

TABLE = np.array([[1, 0, -1], [1, 1, 0], [0, 1, 0], [1, -1, 1], [0, 0, 0]], np.int8)


def training_split() -> ImageSet:
    names = ("",) * 5
    fields = {"labels": LabelField("abc")}
    return ImageSet(np.zeros((5, 2, 2, 1), np.uint8), {"labels": TABLE}, fields, names, names)


def loss_of(task: Labels, scores: torch.Tensor) -> torch.Tensor:
    target = torch.from_numpy(TABLE).float()
    batch = Batch({"image": scores, "labels": target}, torch.arange(5))
    networks = torch.nn.ModuleDict({"network": torch.nn.Identity()})
    return task.losses(networks, batch, "network")["loss"]


def test_the_loss_leaves_out_what_is_not_known() -> None:
    task = Labels(Pick("binary_cross_entropy"))
    scores = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = 1 / (1 + np.exp(-scores.numpy()))
    known = TABLE >= 0
    expected = -np.log(np.where(TABLE == 1, p, 1 - p))[known].mean()
    assert float(loss_of(task, scores)) == pytest.approx(expected, rel=1e-12)
    other = scores.clone()
    other[~torch.from_numpy(known)] += 3
    assert torch.equal(loss_of(task, other), loss_of(task, scores))
    batch = Batch({"labels": torch.from_numpy(TABLE).float()}, torch.arange(5))
    assert task.weight(batch) == known.sum() == 13


def test_balanced_weights_are_negatives_for_each_positive() -> None:
    task = Labels(Pick("binary_cross_entropy", positive_weights="balanced"))
    facts = task.prepare(training_split())
    assert facts == {"loss": {"positive_weights": [2 / 3, 1.0, 3.0]}}
    task.use(facts)
    scores = torch.zeros(5, 3)
    each = np.where(TABLE == 1, [2 / 3, 1.0, 3.0], 1.0)[TABLE >= 0]
    assert float(loss_of(task, scores)) == pytest.approx(np.log(2) * each.mean(), rel=1e-6)
    assert Labels(Pick("binary_cross_entropy")).prepare(training_split()) == {}


@pytest.mark.parametrize("weights", ["even", 2.0, [1, "b", 2], [1, -1, 2], {"a": 1}])
def test_what_is_no_weight_is_refused_before_data_are_read(weights: Any) -> None:
    with pytest.raises(ConfigError, match=r"loss\.positive_weights=.* does not fit; accepted"):
        Labels(Pick("binary_cross_entropy", positive_weights=weights)).try_loss()


def test_other_losses_and_other_numbers_of_weights_are_refused() -> None:
    with pytest.raises(ConfigError, match="softmax_cross_entropy is for one class of several"):
        Labels(Pick("softmax_cross_entropy")).try_loss()
    Labels(Pick("binary_focal")).try_loss()
    with pytest.raises(ConfigError, match="There are 3 labels"):
        Labels(Pick("binary_cross_entropy", positive_weights=[1, 2])).prepare(training_split())
