import numpy as np
import pytest

from striate.errors import DataError, ShapeError
from striate.evaluation import Columns, Meter, Metric, Rows, compare, estimate, item_values

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


def ratio(rows: Columns) -> float:
    return float(rows["a"].sum() / rows["b"].sum())


def test_item_values_have_the_mean_and_the_spread_of_a_metric() -> None:
    """Of a ratio: the jackknife's standard error by hand, and about that of the bootstrap."""
    random = np.random.default_rng(3)
    b = random.uniform(1, 3, 60)
    rows = Columns({"a": b * random.uniform(0, 1, 60), "b": b})
    metric = Metric("ratio", False, ratio)
    values = item_values(metric, rows)
    assert values.mean() == pytest.approx(metric.value(rows), rel=1e-12)
    without = [ratio(rows.take(np.delete(np.arange(60), i))) for i in range(60)]
    by_hand = np.sqrt(59 / 60 * ((without - np.mean(without)) ** 2).sum())
    assert values.std(ddof=1) / np.sqrt(60) == pytest.approx(by_hand, rel=1e-9)
    drawn = estimate(metric, rows, resamples=2000)
    assert (drawn.high - drawn.low) / (2 * 1.96) == pytest.approx(by_hand, rel=0.1)
    wrong = Columns({"wrong": random.random(9) > 0.5})
    assert np.array_equal(item_values(ERROR, wrong), wrong["wrong"])


def test_a_metric_of_sums_is_drawn_as_any_other() -> None:
    random = np.random.default_rng(4)
    rows = Columns({"a": random.uniform(0, 1, 30), "b": random.uniform(1, 2, 30)})
    worse = Columns({**rows.columns, "a": rows["a"] * random.uniform(0.7, 1, 30)})
    plain = Metric("ratio", False, ratio)
    pooled = Metric.pooled(
        "ratio", False, lambda r: np.stack([r["a"], r["b"]], axis=1), lambda c: c[0] / c[1]
    )
    mine, theirs = (estimate(m, rows, resamples=200) for m in (pooled, plain))
    assert [mine.value, mine.low, mine.high] == pytest.approx(
        [theirs.value, theirs.low, theirs.high], rel=1e-12
    )
    assert item_values(pooled, rows) == pytest.approx(item_values(plain, rows), rel=1e-9)
    pairs = [compare(m, {"x": rows, "y": worse}).pairs[0] for m in (pooled, plain)]
    assert pairs[0].p == pairs[1].p
    assert pairs[0].difference.low == pytest.approx(pairs[1].difference.low, rel=1e-9)


def test_rows_with_groups_are_drawn_by_groups() -> None:
    """Sixty frames of six films that are alike within a film: six draws, not sixty."""
    films = np.repeat(np.arange(6), 10)
    b = np.ones(60)
    rows = Columns({"a": np.repeat(np.linspace(0, 1, 6), 10), "b": b, "group": films})
    alone = Columns({"a": rows["a"], "b": b})
    metric = Metric("ratio", False, ratio)
    assert estimate(metric, rows) == estimate(metric, alone, groups=films)
    grouped, single = estimate(metric, rows), estimate(metric, alone)
    assert grouped.high - grouped.low > 2 * (single.high - single.low)
    of_one = Columns({**rows.columns, "group": np.zeros(60, np.int64)})
    assert estimate(metric, of_one) == single
    worse = Columns({**rows.columns, "a": rows["a"] - 0.1 * (films > 2)})
    told = compare(metric, {"x": rows, "y": worse}).pairs[0]
    plain = {"x": alone, "y": Columns({"a": worse["a"], "b": b})}
    assert told == compare(metric, plain, groups=films).pairs[0]
    assert told.p > compare(metric, plain).pairs[0].p


def test_systems_on_other_items_are_refused():
    three, four = (Columns({"wrong": np.zeros(n, dtype=bool)}) for n in (3, 4))
    with pytest.raises(ShapeError, match=r"'a': 3, 'b': 4"):
        compare(ERROR, {"a": three, "b": four})
    with pytest.raises(ShapeError, match="two systems"):
        compare(ERROR, {"a": three})
