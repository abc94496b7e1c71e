"""Texts that Python's own functions refuse in some way of their own."""

from types import SimpleNamespace

import numpy as np
import pytest

from striate.data import open_source
from striate.data.field import Boxes, Points
from striate.data.spelling import natural_key
from striate.errors import DataError, StorageError
from striate.evaluation import Scaling
from striate.search import read_dimensions
from striate.settings import parse_assignments

DEEP = "[" * 100_000


def test_numbers_of_any_length_are_sorted():
    short, long = "9" * 5, "9" * 5000
    assert sorted([f"s{long}", "s10", f"s{short}", "s2"], key=natural_key) == [
        *("s2", "s10"),
        *(f"s{short}", f"s{long}"),
    ]


def test_a_setting_of_deep_brackets_is_text():
    assert parse_assignments([f"data.source={DEEP}"]) == {"data": {"source": DEEP}}


def test_a_dimension_of_deep_brackets_is_text():
    assert len(read_dimensions((f"network.depth={DEEP},b",))[0]) == 1


def test_a_name_that_is_too_long_is_refused_in_words():
    with pytest.raises(StorageError, match="longer than the system allows"):
        open_source("9" * 5000)


def test_a_missing_folder_is_named_once():
    with pytest.raises(DataError, match="no data set of that name") as caught:
        open_source("./digit")
    assert str(caught.value).count("no ") == 2
    assert "Did you mean 'digits'?" in str(caught.value)


@pytest.mark.parametrize("text", [f"[[{10**400}, 1]]", DEEP, "[[1, {}]]"])
def test_boxes_and_points_are_numbers(text):
    item = SimpleNamespace(name="a", columns={"boxes": text, "points": text})
    for field in (Boxes(("a",)), Points(("nose",))):
        with pytest.raises(DataError, match="JSON list"):
            field.read(item)


def test_a_calibration_of_another_number_of_classes_is_refused():
    with pytest.raises(DataError, match="fitted to 3 classes, and there are 2"):
        Scaling((1.0, 2.0, 1.0), (0.0, 0.0, 0.0))(np.array([[0.5, 0.5]]))
    with pytest.raises(DataError, match="as many weights as biases; 2 and 1 came"):
        Scaling((1.0, 2.0), (0.0,))
