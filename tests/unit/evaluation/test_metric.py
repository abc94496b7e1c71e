import numpy as np
import pytest

from striate.errors import DataError, ShapeError
from striate.evaluation import Columns, Meter, Metric, Rows, compare, estimate

ERROR = Metric.mean("error", True, lambda rows: rows["wrong"])


def test_columns_are_rows():
    rows = Columns({"wrong": np.array([True, False])})
    assert isinstance(rows, Rows)
    assert not isinstance(rows, Meter)
    assert len(rows) == 2


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ShapeError, match=r"'a': 3, 'b': 2"):
        Columns({"a": np.zeros(3), "b": [1, 2]})


def test_nothing_to_estimate_is_refused():
    with pytest.raises(DataError, match="is no share"):
        estimate(ERROR, Columns({"wrong": np.zeros(0, dtype=bool)}))
    with pytest.raises(DataError, match="between 0 and 1"):
        estimate(ERROR, Columns({"wrong": np.zeros(3, dtype=bool)}), confidence=95)


def test_systems_on_other_items_are_refused():
    three, four = (Columns({"wrong": np.zeros(n, dtype=bool)}) for n in (3, 4))
    with pytest.raises(ShapeError, match=r"'a': 3, 'b': 4"):
        compare(ERROR, {"a": three, "b": four})
    with pytest.raises(ShapeError, match="two systems"):
        compare(ERROR, {"a": three})
