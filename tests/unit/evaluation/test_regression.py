"""Metrics of predicted numbers against scikit-learn's, with missing values and several targets."""

import math

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from striate.evaluation.comparison import compare
from striate.evaluation.metric import Columns, Scores, estimate
from striate.evaluation.regression import value_metrics, value_section


def drawn(n: int, t: int, *, offset: float = 0.0, missing: int = 0) -> tuple[Columns, np.ndarray]:
    draw = np.random.default_rng(n + t)
    truth = draw.lognormal(1, 1, (n, t)) + offset
    predicted = truth + draw.normal(0.3, 1, (n, t))
    truth[draw.permutation(n)[:missing], 0] = np.nan
    train = draw.lognormal(1, 1, (50, t)) + offset
    return Columns({"value": truth, "predicted value": predicted}), train


@pytest.mark.parametrize(("n", "t", "offset", "missing"), [(200, 1, 0, 0), (61, 3, 1e5, 9)])
def test_figures_are_scikit_learns(n: int, t: int, offset: float, missing: int) -> None:
    rows, train = drawn(n, t, offset=offset, missing=missing)
    names = [f"t{i}" for i in range(t)]
    metrics = value_metrics(names, train.mean(axis=0).tolist(), np.median(train, axis=0).tolist())
    values = {metric.name: metric.value(rows) for metric in metrics}
    for i, name in enumerate(names):
        known = ~np.isnan(rows["value"][:, i])
        y, p = rows["value"][known, i], rows["predicted value"][known, i]
        mean, median = (
            DummyRegressor(strategy=kind).fit(train, train[:, i]).predict(y)
            for kind in ("mean", "median")
        )
        expected = {
            "MAE": mean_absolute_error(y, p),
            "RMSE": root_mean_squared_error(y, p),
            "R²": r2_score(y, p),
            "MAE of the training median": mean_absolute_error(y, median),
            "RMSE of the training mean": root_mean_squared_error(y, mean),
            "gain in MAE over the median": mean_absolute_error(y, median)
            - mean_absolute_error(y, p),
        }
        prefix = f"{name}: " if t > 1 else ""
        for key, value in expected.items():
            assert values[prefix + key] == pytest.approx(value, rel=1e-9), key
    if t > 1:
        errors = np.abs(rows["predicted value"] - rows["value"])
        assert values["MAE"] == pytest.approx(np.nanmean(errors, axis=1).mean())
    assert next(iter(values)) == "MAE"


def test_intervals_hold_the_figures_and_a_gain_is_one() -> None:
    rows, train = drawn(120, 1)
    metrics = value_metrics(["x"], [train.mean()], [float(np.median(train))])
    for name, found in Scores(metrics, rows).estimates().items():
        assert found.low < found.value < found.high, name
    gain = estimate(metrics[5], rows)
    assert gain.low > 0
    constant = Columns({**rows.columns, "predicted value": np.full((120, 1), np.median(train))})
    pair = compare(metrics[0], {"constant": constant, "network": rows}).pairs[0]
    assert -pair.difference.value == pytest.approx(gain.value)
    assert metrics[2].value(constant) < 0


def test_an_interval_covers_as_often_as_it_says() -> None:
    """RMSE of normal errors of deviation 2, 200 test splits of 80 images."""
    draw = np.random.default_rng(4)
    metric = value_metrics(["x"], [0.0], [0.0])[1]
    covered = 0
    for _ in range(200):
        truth = draw.normal(0, 5, (80, 1))
        rows = Columns({"value": truth, "predicted value": truth + draw.normal(0, 2, (80, 1))})
        found = estimate(metric, rows, resamples=200)
        covered += found.low <= 2 <= found.high
    assert 175 <= covered <= 198


def test_what_is_undefined_is_nan() -> None:
    nothing = Columns({"value": np.full((4, 1), np.nan), "predicted value": np.ones((4, 1))})
    metrics = value_metrics(["x"], [1.0], [1.0])
    assert all(math.isnan(value) for value in Scores(metrics, nothing).values.values())
    assert all(math.isnan(found.value) for found in Scores(metrics, nothing).estimates().values())
    equal = Columns({"value": np.full((4, 1), 0.1), "predicted value": np.ones((4, 1))})
    assert math.isnan(metrics[2].value(equal))
    assert metrics[1].value(equal) == pytest.approx(0.9)
    assert value_section(nothing, ["x"]).body == ""


def test_the_section_says_how_errors_lie() -> None:
    truth = np.array([[1.0], [2.0], [np.nan], [4.0]])
    predicted = np.array([[2.0], [2.0], [9.0], [1.0]])
    section = value_section(Columns({"value": truth, "predicted value": predicted}), ["<age>"])
    assert section.body.count("<circle") == 3 + 2
    assert (
        "&lt;age&gt;: prediction less truth is -0.6667 in the mean, +0 in the median"
        in section.body
    )
    assert "-3 where it is farthest off; 1 images have no true value." in section.body
    assert "<age>" not in section.body
