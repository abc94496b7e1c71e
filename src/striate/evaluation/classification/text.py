"""Metrics of classifiers as plain lines for a terminal."""

from collections.abc import Sequence

from striate.drawing.table import text_table
from striate.evaluation.classification.loss import FEW_MISTAKES
from striate.evaluation.classification.measure import ClassificationMetrics
from striate.evaluation.interval import Estimate, Proportion
from striate.evaluation.text import number, percent

ESTIMATES = (
    ("balanced_accuracy", "balanced accuracy", True),
    ("macro_f1", "macro F1", True),
    ("auc", "AUC, one against the rest", False),
    ("negative_log_likelihood", "negative log-likelihood", False),
    ("brier_score", "Brier score", False),
    ("calibration_error", "expected calibration error", True),
)
"""Estimates of a table of metrics: field, name, whether in percent."""


def most_confused(
    metrics: ClassificationMetrics, limit: int = 15
) -> list[tuple[str, str, int, int]]:
    """The commonest confusions as (truth, prediction, count, items of the true class)."""
    names = metrics.class_names
    pairs = [
        (count, row, column)
        for row, counts in enumerate(metrics.confusion)
        for column, count in enumerate(counts)
        if count and row != column
    ]
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    return [
        (names[row], names[column], count, metrics.classes[row].support)
        for count, row, column in pairs[:limit]
    ]


def summary_lines(metrics: ClassificationMetrics) -> list[str]:
    """The headline metrics as an aligned plain text table, then the worst confusions."""
    lines = text_table(_rows(metrics), "<").splitlines()
    coverage = f"{100 * metrics.confidence:g}"
    lines.append(f"n = {metrics.n}; in brackets: {coverage} % intervals")
    confused = most_confused(metrics, limit=3)
    if confused:
        pairs = ", ".join(f"{truth} taken for {other} ({n})" for truth, other, n, _ in confused)
        lines.append(f"most confused: {pairs}")
    return [*lines, *metrics.notes()]


def table_lines(names: Sequence[str], metrics: Sequence[ClassificationMetrics]) -> list[str]:
    """The headline metrics of several networks side by side as an aligned plain text table."""
    columns = [{name: value for name, value, _ in _rows(m)} for m in metrics]
    titles = list(dict.fromkeys(title for column in columns for title in column))
    rows = [[title, *(column.get(title, "–") for column in columns)] for title in titles]
    return text_table([[f"n = {metrics[0].n}", *names], *rows], "<").splitlines()


def _rows(metrics: ClassificationMetrics) -> list[tuple[str, str, str]]:
    """Name, value with interval, and a note for each headline measure."""
    rows = [("error", _share(metrics.error), f"{metrics.error.count} of {metrics.n}")]
    rows += [
        (f"top-{k} error", _share(share), f"{share.count} of {metrics.n}")
        for k, share in metrics.top_k_error.items()
    ]
    chance = metrics.calibration_by_chance
    bins = f"{len(metrics.reliability)} bins"
    few = ""
    if metrics.error.count <= FEW_MISTAKES:
        few = f"hardly known from {metrics.error.count} mistake(s): read the error"
    notes = {
        "negative_log_likelihood": few,
        "brier_score": few,
        "calibration_error": bins
        if chance is None
        else f"{bins}; {percent(chance)} % by chance alone",
    }
    return rows + [
        (name.removeprefix("expected "), _estimate(value, in_percent), notes.get(field, ""))
        for field, name, in_percent in ESTIMATES
        if (value := getattr(metrics, field)) is not None
    ]


def _share(share: Proportion) -> str:
    return f"{percent(share.value)} % [{percent(share.low)}, {percent(share.high)}]"


def _estimate(estimate: Estimate, in_percent: bool) -> str:
    spell = percent if in_percent else number
    text = spell(estimate.value) + " %" * in_percent
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} [{spell(estimate.low)}, {spell(estimate.high)}]"
