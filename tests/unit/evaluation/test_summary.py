"""The figures of a task in words and as JSON."""

import math

from striate.evaluation.interval import Estimate
from striate.evaluation.summary import Summary

SUMMARY = Summary(
    1200,
    {
        "mean IoU": Estimate(0.51234, 0.4, 0.6),
        "MAE": Estimate(2.5, None, None),
        "R²": Estimate(0.25, 0.125, None),
        "AUC": Estimate(math.nan, None, None),
    },
)


def test_intervals_are_shown_where_both_ends_are_known() -> None:
    assert SUMMARY.sentence() == "mean IoU 0.5123 [0.4, 0.6] (95 % interval, n = 1,200)"
    assert SUMMARY.lines() == [
        "mean IoU  0.5123 [0.4, 0.6]",
        "MAE       2.5",
        "R²        0.25",
        "AUC       nan",
        "n = 1200; in brackets: 95 % intervals",
    ]


def test_json_has_no_value_for_what_is_undefined() -> None:
    value = SUMMARY.to_json()
    assert value["metrics"]["AUC"] == {"value": None, "low": None, "high": None}
    assert value["metrics"]["mean IoU"] == {"value": 0.51234, "low": 0.4, "high": 0.6}
    again = Summary.from_json(value)
    assert math.isnan(again.estimates["AUC"].value)
    assert again.to_json() == value
    assert SUMMARY.headline() == {"n": 1200, "mean IoU": 0.51234, "low": 0.4, "high": 0.6}


def test_the_first_metric_is_the_headline() -> None:
    only = Summary(3, {"MAE": Estimate(math.inf, None, None)})
    assert only.headline() == {"n": 3, "MAE": None, "low": None, "high": None}
    assert only.sentence() == "MAE inf (95 % interval, n = 3)"
