"""The latest result on a test split as it reads after several openings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from striate.evaluation.interval import wilson
from striate.evaluation.ledger import OpeningRecord
from striate.evaluation.text import percent
from striate.typed_json import JsonRecord


@dataclass(frozen=True)
class Reading(JsonRecord):
    """The latest error on a test split, with an interval that holds after all openings."""

    openings: int
    error: float
    low: float
    """Ends of the interval that allows for the number of openings."""
    high: float
    confidence: float
    """Coverage of each single interval, so that all of them hold together with 95 %."""
    sentence: str


def adjusted_reading(
    records: Sequence[OpeningRecord], openings: int, result: Mapping[str, Any] | None = None
) -> Reading | None:
    """The latest result as it reads after so many openings; None while there is none.

    Whoever opens k times and keeps the best result reports luck too. Intervals of confidence
    1 - 0.05 / k hold all at once with 95 %, whichever of the k results is picked (Bonferroni).
    Openings that showed nothing do not count.

    Args:
        records: Openings in the ledger.
        openings: Number of openings, those that are missing from the ledger included.
        result: Result to read; None: the latest one.

    Source: Dunn, "Multiple comparisons among means", JASA 56, 1961.

    Example:
        >>> result = {"n": 1000, "wrong": 100, "error": 0.1}
        >>> record = OpeningRecord(4, "2026-01-01", "c0ffee", "runs/x", "0.1", result)
        >>> reading = adjusted_reading([record], 4)
        >>> round(reading.low, 4), round(reading.high, 4), round(reading.confidence, 4)
        (0.0787, 0.1262, 0.9875)
    """
    results = [*(record.result for record in records), result]
    latest = next((each for each in reversed(results) if each and "wrong" in each), None)
    if latest is None:
        return None
    # An opening for several runs shows as many results.
    further = sum(max(0, len(r.result.get("runs", ())) - 1) for r in records if r.result)
    empty = sum(bool(record.nothing_shown) for record in records)
    count = max(openings - empty, 1) + further
    confidence = 1 - 0.05 / count
    share = wilson(int(latest["wrong"]), int(latest["n"]), confidence=confidence)
    figures = share.value, share.low, share.high
    return Reading(count, *figures, confidence, _sentence(count, further, empty, *figures))


def _sentence(count: int, further: int, empty: int, error: float, low: float, high: float) -> str:
    others = f" ({empty} more showed nothing)" if empty else ""
    ends = f"{percent(low)} to {percent(high)} %"
    if further:
        return (
            f"The test split has shown {count} results, and the best of them is too good by "
            f"chance: read the error of {percent(error)} % with the interval {ends} (Bonferroni), "
            "not with that of a single opening."
        )
    if count == 1:
        return (
            f"The test split was opened once{others}: the error of {percent(error)} % and its "
            f"interval, {ends}, can be read as they are."
        )
    return (
        f"The test split was opened {count} times{others}, and the best of {count} results is too "
        f"good by chance: after so many openings read the latest error, {percent(error)} %, with "
        f"the interval {ends} (Bonferroni), not with that of a single opening."
    )
