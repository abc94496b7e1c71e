import numpy as np
import pytest

from striate.evaluation import measure, percent, summary_lines
from striate.evaluation.classification.text import most_confused

P = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.5, 0.4, 0.1], [0.6, 0.3, 0.1]])


def test_the_table_has_every_headline_with_n():
    lines = summary_lines(measure(P, np.array([0, 2, 1, 1]), ["cat", "car", "frog"]))
    assert lines[0].split() == ["error", "50.0", "%", "[15.0,", "85.0]", "2", "of", "4"]
    starts = ["error", "top-2 error", "balanced", "macro F1", "AUC", "negative", "Brier"]
    starts += ["calibration", "n = 4"]
    assert all(line.startswith(start) for line, start in zip(lines, starts, strict=False))
    assert lines[7].endswith("% by chance alone")
    assert lines[-1] == "most confused: car taken for cat (2)"


def test_no_confusion_is_not_spoken_of():
    lines = summary_lines(measure(P, np.array([0, 2, 0, 0]), ["cat", "car", "frog"]))
    assert lines[-1].startswith("n = 4")


@pytest.mark.parametrize(("truth", "said"), [([0, 2, 0, 1], True), ([0, 2, 1, 1], False)])
def test_what_a_mistake_costs_is_not_known_from_one(truth, said):
    lines = summary_lines(measure(P, np.array(truth), ["cat", "car", "frog"]))
    told = [line for line in lines if "hardly known from" in line]
    assert [line.split()[0] for line in told] == ["negative", "Brier"] * said


def test_confusions_come_by_count_with_the_support_of_the_truth():
    measures = measure(P, np.array([1, 1, 1, 0]), ["cat", "car", "frog"])
    assert most_confused(measures) == [("car", "cat", 2, 3), ("car", "frog", 1, 3)]
    assert most_confused(measures, limit=1) == [("car", "cat", 2, 3)]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1.0, "100"), (0.00307, "0.31"), (0.09996, "10.0"), (0.99999, "100.0")],
)
def test_percent_has_the_digits_that_one_reads(value, text):
    assert percent(value) == text
