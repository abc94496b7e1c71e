"""Metrics of several labels against scikit-learn; intervals against derivatives and counts."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from striate.evaluation import Columns
from striate.evaluation.several import (
    MEASURES,
    METRICS,
    best_thresholds,
    is_defined,
    losses_of_items,
    macro,
)

SKLEARN: dict[str, Any] = {
    "average precision": lambda y, p, a, w: metrics.average_precision_score(y, p, sample_weight=w),
    "AUC": lambda y, p, a, w: metrics.roc_auc_score(y, p, sample_weight=w),
    "F1": lambda y, p, a, w: metrics.f1_score(y, a, sample_weight=w),
}


def table(n: int = 83, k: int = 4, *, ties: bool = False, seed: int = 0) -> Columns:
    draw = np.random.default_rng(seed)
    labels = (draw.random((n, k)) < np.linspace(0.1, 0.6, k)).astype(np.int8)
    p = 1 / (1 + np.exp(-draw.normal(1.6 * labels - 0.8, 1.0)))
    return Columns({"probabilities": p.round(1) if ties else p, "labels": labels})


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", MEASURES)
def test_a_macro_mean_is_scikit_learns(name: str, ties: bool) -> None:
    rows = table(ties=ties)
    p, y = rows["probabilities"], rows["labels"]
    expected = [SKLEARN[name](y[:, k], p[:, k], p[:, k] >= 0.5, None) for k in range(4)]
    assert macro(name, rows).value == pytest.approx(np.mean(expected), abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", MEASURES)
def test_influences_are_derivatives_by_the_weight_of_an_item(name: str, ties: bool) -> None:
    rows = table(n=40, k=1, ties=ties)
    p, y = rows["probabilities"][:, 0], rows["labels"][:, 0] == 1
    answered = p >= 0.5
    part = MEASURES[name](p, y, answered)
    step = 1e-5
    for i in range(40):
        ends = []
        for sign in (1, -1):
            weights = np.ones(40)
            weights[i] += sign * step
            ends.append(SKLEARN[name](y, p, answered, weights))
        assert part.influence[i] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-7)


def test_what_is_not_known_is_left_out() -> None:
    rows = table(n=60, k=2)
    p, labels = rows["probabilities"], rows["labels"].copy()
    labels[10:25, 0] = -1
    known = labels[:, 0] >= 0
    holed = Columns({"probabilities": p, "labels": labels})
    for name in MEASURES:
        expected = [
            SKLEARN[name](labels[rows, k], p[rows, k], p[rows, k] >= 0.5, None)
            for k, rows in ((0, known), (1, slice(None)))
        ]
        assert macro(name, holed).value == pytest.approx(np.mean(expected), abs=1e-12)
    # Whatever is predicted of it changes nothing.
    other = p.copy()
    other[10:25, 0] = 1 - other[10:25, 0]
    for metric in METRICS:
        changed = metric.value(Columns({"probabilities": other, "labels": labels}))
        assert changed == metric.value(holed)
    labels[3] = -1
    told = losses_of_items(Columns({"probabilities": p, "labels": labels}))
    assert np.flatnonzero(np.isnan(told)).tolist() == [3]
    assert told[0] == pytest.approx(metrics.log_loss(labels[0], p[0], labels=[0, 1]))


def test_labels_without_positives_or_negatives_are_left_out_of_the_mean() -> None:
    rows = table(k=3)
    labels = rows["labels"].copy()
    labels[:, 0], labels[:, 1] = 0, 1
    odd = Columns({"probabilities": rows["probabilities"], "labels": labels})
    assert is_defined("F1", labels).tolist() == [False, True, True]
    assert is_defined("AUC", labels).tolist() == [False, False, True]
    p = rows["probabilities"][:, 2]
    expected = metrics.roc_auc_score(labels[:, 2], p)
    assert macro("AUC", odd).value == pytest.approx(expected, abs=1e-12)
    empty = Columns({"probabilities": p[:, None], "labels": np.zeros((83, 1), np.int8)})
    assert np.isnan(macro("average precision", empty).value)


def test_intervals_hold_the_true_value_about_as_often_as_they_say() -> None:
    truth = {name: macro(name, table(n=40_000, seed=99)).value for name in MEASURES}
    held = dict.fromkeys(MEASURES, 0)
    for seed in range(200):
        rows = table(n=120, seed=seed)
        for name in MEASURES:
            interval = macro(name, rows)
            assert interval.low is not None
            assert interval.high is not None
            held[name] += interval.low <= truth[name] <= interval.high
    assert all(0.90 <= count / 200 <= 0.99 for count in held.values()), held


def test_an_order_without_a_mistake_is_uncertain_still() -> None:
    labels = np.repeat([[1, 0], [0, 1]], [8, 12], axis=0).astype(np.int8)
    few = macro("average precision", Columns({"probabilities": labels * 0.8, "labels": labels}))
    assert (few.value, few.high) == (1.0, 1.0)
    assert few.low is not None
    assert 0.7 < few.low < 0.95


def test_the_best_threshold_is_the_best_of_all() -> None:
    for seed in range(5):
        rows = table(n=50, k=3, ties=seed % 2 == 1, seed=seed)
        p, y = rows["probabilities"], rows["labels"]
        chosen = best_thresholds(p, y)
        for k in range(3):
            every = [metrics.f1_score(y[:, k], p[:, k] >= t) for t in np.unique(p[:, k])]
            mine = metrics.f1_score(y[:, k], p[:, k] >= chosen[k])
            assert mine == pytest.approx(max(every), abs=1e-12)
    assert best_thresholds(np.array([[0.2], [0.9]]), np.array([[0], [0]], np.int8)).tolist() == [
        0.5
    ]
    known = np.array([[1], [0], [-1]], np.int8)
    assert best_thresholds(np.array([[0.6], [0.2], [0.9]]), known)[0] == pytest.approx(0.4)
