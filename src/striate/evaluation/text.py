"""Numbers as a person reads them."""

from striate.evaluation.interval import Estimate, Proportion
from striate.evaluation.metric import Scores, estimate


def percent(value: float) -> str:
    """A share in percent with the digits that a person reads: 0.31, 1.94, 12.3.

    Example:
        >>> percent(0.0194), percent(0.1234), percent(1.0)
        ('1.94', '12.3', '100')
    """
    hundred = 100 * value
    if hundred in (0.0, 100.0):
        return f"{hundred:.0f}"
    return f"{hundred:.2f}" if hundred < 9.995 else f"{hundred:.1f}"


def number(value: float) -> str:
    """A number with four decimals, as losses and scores are compared."""
    return f"{value:.4f}"


def format_metric(value: float | None, share: bool) -> str:
    """A value of the headline metric for people: a share of items in percent."""
    if value is None:
        return "–"
    return f"{percent(value)} %" if share else f"{value:.4g}"


def format_value(estimate: Estimate | Proportion) -> str:
    """An estimate of the headline metric for people, without its interval."""
    return format_metric(estimate.value, isinstance(estimate, Proportion))


def format_interval(estimate: Estimate | Proportion, share: bool) -> str:
    """The interval of an estimate in brackets."""
    if estimate.low is None or estimate.high is None:
        return "[–] (equal in all trainings)"
    return f"[{format_metric(estimate.low, share)}, {format_metric(estimate.high, share)}]"


def headline_in_words(scores: Scores) -> str:
    """The headline metric with its interval and its number of items: "error 8.6 % [5, 15], ..."."""
    metric = scores.metrics[0]
    found = estimate(metric, scores.rows)
    share = isinstance(found, Proportion)
    value, ends = format_metric(found.value, share), format_interval(found, share)
    return f"{metric.name} {value} {ends}, n = {len(scores.rows):,}"
