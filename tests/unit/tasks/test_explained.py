"""Each task names the numbers of a prediction that are worth explaining."""

import numpy as np
import pytest
import torch

from striate.data.field import Category, Labels, Mask, Value
from striate.errors import ConfigError
from striate.registry import Pick
from striate.tasks import TASKS, DataShape


def shape(name: str, field: object) -> DataShape:
    return DataShape({name: field}, 3, (4, 5))  # type: ignore[dict-item]


def test_of_classes_the_two_likeliest() -> None:
    task = TASKS.build(Pick("classification"))
    outputs = {"probabilities": np.array([[0.1, 0.2, 0.7]])}
    found = task.explained(outputs, shape("category", Category(("a", "b", "c"))))
    assert [one.name for one in found] == ["c", "b"]
    scores = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert found[0].score(scores).tolist() == [3, 6]
    assert found[1].score(scores).tolist() == [2, 5]
    with pytest.raises(ConfigError, match="for predictions of maps"):
        task.explained(outputs, shape("category", Category(("a", "b", "c"))), at=(1, 1))


def test_of_labels_those_above_their_thresholds_or_the_likeliest() -> None:
    task = TASKS.build(Pick("labels"))
    data = shape("labels", Labels(("x", "y", "z")))
    outputs = {"probabilities": np.array([[0.6, 0.1, 0.4]])}
    found = task.explained({**outputs, "present": np.array([[True, False, True]])}, data)
    assert [one.name for one in found] == ["x", "z"]
    assert found[1].score(torch.tensor([[1.0, 2.0, 3.0]])).tolist() == [3]
    found = task.explained({**outputs, "present": np.zeros((1, 3), bool)}, data)
    assert [one.name for one in found] == ["x"]


def test_of_numbers_each_in_the_units_of_the_data() -> None:
    task = TASKS.build(Pick("regression"))
    task.use({"mean": [10.0, 0.0], "std": [2.0, 0.5], "median": [10.0, 0.0]})
    data = shape("value", Value(("age", "size")))
    found = task.explained({"value": np.array([[14.0, 1.0]])}, data)
    assert [one.name for one in found] == ["age", "size"]
    scores = torch.tensor([[2.0, 2.0]])
    assert [float(one.score(scores)) for one in found] == [14.0, 1.0]


def test_of_a_mask_one_object() -> None:
    task = TASKS.build(Pick("segmentation"))
    mask = np.zeros((1, 4, 5), dtype=np.int64)
    mask[0, 0, :2] = 1  # two pixels
    mask[0, 2:, 3:] = 1  # four pixels
    mask[0, 3, 0] = 2
    data = shape("mask", Mask(("ground", "tree", "car")))
    scores = torch.arange(60.0).view(1, 3, 4, 5)
    (largest,) = task.explained({"mask": mask}, data)
    assert largest.name == "tree, 4 pixels"
    assert largest.score(scores).tolist() == [scores[0, 1, 2:, 3:].mean()]
    (chosen,) = task.explained({"mask": mask}, data, at=(3, 0))
    assert chosen.name == "car, 1 pixels"
    assert chosen.score(scores).tolist() == [scores[0, 2, 3, 0]]
    (ground,) = task.explained({"mask": mask}, data, at=(1, 1))
    assert ground.name.startswith("ground, ")
    with pytest.raises(ConfigError, match="no pixel in row 4"):
        task.explained({"mask": mask}, data, at=(4, 0))
