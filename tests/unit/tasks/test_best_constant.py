"""The best prediction that sees no image, by which a training is known to have learned nothing."""

import numpy as np
import pytest

from striate.evaluation import Columns
from striate.registry import Pick
from striate.tasks import TASKS


def test_of_classes_it_is_the_largest() -> None:
    rows = Columns({"labels": np.array([0, 2, 2, 1, 2])})
    task = TASKS.build(Pick("classification"), loss=None)
    assert task.best_constant(rows) == pytest.approx(2 / 5)


def test_of_numbers_it_is_the_training_median_and_missing_ones_do_not_count() -> None:
    rows = Columns({"value": np.array([[1.0, 10.0], [4.0, np.nan], [np.nan, np.nan]])})
    task = TASKS.build(Pick("regression"), loss=None)
    task.use({"mean": [0.0, 0.0], "median": [2.0, 13.0], "std": [1.0, 1.0]})
    assert task.best_constant(rows) == pytest.approx(((1 + 3) / 2 + 2) / 2)


def test_of_other_tasks_it_is_not_known() -> None:
    task = TASKS.build(Pick("labels"), loss=None)
    assert task.best_constant(Columns({"labels": np.zeros((2, 3))})) is None
