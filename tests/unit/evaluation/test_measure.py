import json

import numpy as np
import pytest

from striate.errors import DataError, ShapeError
from striate.evaluation import ClassificationMetrics, measure
from striate.evaluation.classification.measure import measure_predictions
from striate.evaluation.classification.probability import truth_rank

NAMES = ["cat", "car", "frog"]


def probabilities_of(n: int, num_classes: int, seed: int = 0):
    chance = np.random.default_rng(seed)
    target = chance.integers(num_classes, size=n)
    scores = chance.normal(size=(n, num_classes)) * 1.7
    scores[np.arange(n), target] += 1.3
    p = np.exp(scores)
    return p / p.sum(axis=1, keepdims=True), target


def test_counts_of_a_small_case_worked_by_hand():
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.5, 0.4, 0.1], [0.6, 0.3, 0.1]])
    measures = measure(p, np.array([0, 2, 1, 1]), NAMES)
    assert measures.confusion == ((1, 0, 0), (2, 0, 0), (0, 0, 1))
    assert (measures.error.count, measures.n) == (2, 4)
    assert list(measures.top_k_error) == [2]
    assert measures.top_k_error[2].count == 0
    cat, car, frog = measures.classes
    assert (cat.precision.count, cat.precision.n, cat.recall.value) == (1, 3, 1.0)
    assert (car.precision, car.recall.value, car.f1) == (None, 0.0, 0.0)
    assert frog.f1 == 1.0
    assert measures.balanced_accuracy.value == pytest.approx(2 / 3, rel=1e-12)


def test_what_is_undefined_is_none_and_never_zero():
    p = np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1]])
    never_met = measure(p, np.array([0, 0]), NAMES).classes[2]
    assert (never_met.support, never_met.precision) == (0, None)
    assert (never_met.recall, never_met.f1) == (None, None)
    answered_wrongly = measure(p, np.array([0, 0]), NAMES).classes[1]
    assert (answered_wrongly.precision.value, answered_wrongly.f1) == (0.0, None)


def test_ties_go_to_the_lower_index():
    p = np.full((3, 4), 0.25)
    assert truth_rank(p, np.array([0, 2, 3])).tolist() == [0, 2, 3]
    measures = measure(p, np.array([0, 2, 3]), ["a", "b", "c", "d"])
    assert measures.error.count == 2
    assert [measures.top_k_error[k].count for k in (2, 3)] == [2, 1]


def test_top_k_stops_below_the_number_of_classes_and_at_five():
    for num_classes, expected in [(2, []), (4, [2, 3]), (9, [2, 3, 4, 5])]:
        p, target = probabilities_of(11, num_classes)
        names = [f"class {k}" for k in range(num_classes)]
        assert list(measure(p, target, names).top_k_error) == expected


def test_a_probability_of_zero_stays_finite():
    measures = measure(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([1, 0]), ["a", "b"])
    assert measures.negative_log_likelihood.value == pytest.approx(87.336 / 2, rel=1e-4)
    json.dumps(measures.to_json(), allow_nan=False)


def test_measures_survive_json_text():
    p, target = probabilities_of(53, 7)
    measures = measure(p, target, [f"<class {k}>" for k in range(7)])
    text = json.dumps(measures.to_json(), allow_nan=False)
    assert ClassificationMetrics.from_json(json.loads(text)) == measures


def test_single_precision_probabilities_are_accepted():
    p, target = probabilities_of(41, 5)
    names = list("abcde")
    single = measure(p.astype(np.float32), target.astype(np.int32), names)
    assert single.confusion == measure(p, target, names).confusion


def test_the_same_call_gives_the_same_measures():
    p, target = probabilities_of(29, 3)
    assert measure(p, target, NAMES) == measure(p, target, NAMES)


def test_answers_alone_give_what_needs_no_probabilities():
    p, target = probabilities_of(83, 5)
    names = list("abcde")
    whole, bare = measure(p, target, names), measure_predictions(p.argmax(axis=1), target, names)
    assert (bare.error, bare.classes) == (whole.error, whole.classes)
    assert (bare.macro_f1, bare.balanced_accuracy) == (whole.macro_f1, whole.balanced_accuracy)
    assert bare.auc is None
    assert bare.reliability == ()
    assert ClassificationMetrics.from_json(json.loads(json.dumps(bare.to_json()))) == bare


def test_reports_of_older_runs_are_read_without_the_later_measures():
    p, target = probabilities_of(31, 4)
    told = measure(p, target, list("abcd")).to_json()
    for key in ("macro_f1", "auc", "calibration_by_chance"):
        del told[key]
    old = ClassificationMetrics.from_json(told)
    assert (old.macro_f1, old.auc, old.calibration_by_chance) == (None, None, None)


def test_intervals_hold_the_value():
    p, target = probabilities_of(97, 3)
    measures = measure(p, target, NAMES)
    for estimate in (
        measures.balanced_accuracy,
        measures.negative_log_likelihood,
        measures.brier_score,
    ):
        assert estimate.low < estimate.value < estimate.high


@pytest.mark.parametrize(
    ("p", "target", "names", "error", "says"),
    [
        (np.ones((0, 3)), np.zeros(0, int), NAMES, DataError, "nothing to measure"),
        (np.ones(3) / 3, np.zeros(3, int), NAMES, ShapeError, r"\(N, K\)"),
        (np.ones((2, 3)) / 3, np.zeros(3, int), NAMES, ShapeError, r"\(2, 3\) and \(3,\)"),
        (np.ones((2, 3)) / 3, np.zeros(2, int), ["cat"], ShapeError, "3 classes need"),
        (np.ones((2, 3)) / 3, np.array([0, 3]), NAMES, DataError, "the first is 3 at index 1"),
        (np.ones((2, 3)) / 3, np.array([-1, 3]), NAMES, DataError, "2 of 2 are not"),
        (np.ones((2, 3)) / 3, np.array([0.0, 1.0]), NAMES, DataError, "whole numbers"),
        (np.ones((2, 3), int), np.array([0, 1]), NAMES, DataError, "are floats"),
        (np.array([[2.0, -1.0, 0.0]]), np.array([0]), NAMES, DataError, "Apply softmax"),
        (np.array([[3.2, 5.1, -1.7]]), np.array([0]), NAMES, DataError, "with sum 6.6"),
        (
            np.array([[0.5, 0.3, 0.2], [np.nan, 0, 1], [np.inf, 0, 0]]),
            np.array([0, 1, 2]),
            NAMES,
            DataError,
            "2 of 3 items have probabilities that are not finite, the first at index 1",
        ),
    ],
)
def test_input_that_cannot_be_measured_is_refused_with_the_reason(p, target, names, error, says):
    with pytest.raises(error, match=says):
        measure(p, target, names)


def test_six_right_answers_do_not_claim_certainty():
    p = np.full((6, 3), 0.1)
    target = np.array([0, 0, 1, 1, 2, 2])
    p[np.arange(6), target] = 0.8
    measures = measure(p, target, NAMES)
    balanced = measures.balanced_accuracy
    assert (balanced.value, balanced.high) == (1.0, 1.0)
    # Nothing wrong in classes of one size: as certain as the error, seen from the other end.
    assert balanced.low == pytest.approx(1 - measures.error.high, rel=1e-12)
    for alike in (measures.negative_log_likelihood, measures.brier_score):
        assert (alike.low, alike.high) == (None, None)
    assert measures.negative_log_likelihood.value == pytest.approx(-np.log(0.8))


@pytest.mark.parametrize("target", [[0, 3, 1], [0, -1, 3]])
def test_targets_that_are_no_class_are_named(target):
    p = np.full((3, 3), 1 / 3)
    with pytest.raises(DataError, match=r"Targets must be 0\.\.2; \d of 3 are not.*at index 1"):
        measure(p, np.array(target), NAMES)
