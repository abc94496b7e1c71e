"""Metrics of classifiers as plain lines for a terminal."""

from collections.abc import Sequence

from striate.drawing.table import text_table
from striate.evaluation.classification.loss import FEW_MISTAKES
from striate.evaluation.classification.measure import Measures
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


def most_confused(measures: Measures, limit: int = 15) -> list[tuple[str, str, int, int]]:
    """The commonest confusions as (truth, answer, count, items of the true class)."""
    names = measures.class_names
    pairs = [
        (count, row, column)
        for row, counts in enumerate(measures.confusion)
        for column, count in enumerate(counts)
        if count and row != column
    ]
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    return [
        (names[row], names[column], count, measures.classes[row].support)
        for count, row, column in pairs[:limit]
    ]


def summary_lines(measures: Measures) -> list[str]:
    """The headline measures as an aligned plain text table, then the worst confusions."""
    lines = text_table(_rows(measures), "<").splitlines()
    coverage = f"{100 * measures.confidence:g}"
    lines.append(f"n = {measures.n}; in brackets: {coverage} % intervals")
    confused = most_confused(measures, limit=3)
    if confused:
        pairs = ", ".join(f"{truth} taken for {answer} ({n})" for truth, answer, n, _ in confused)
        lines.append(f"most confused: {pairs}")
    return lines


def table_lines(names: Sequence[str], measures: Sequence[Measures]) -> list[str]:
    """The headline measures of several networks side by side as an aligned plain text table."""
    columns = [{name: value for name, value, _ in _rows(m)} for m in measures]
    titles = list(dict.fromkeys(title for column in columns for title in column))
    rows = [[title, *(column.get(title, "–") for column in columns)] for title in titles]
    return text_table([[f"n = {measures[0].n}", *names], *rows], "<").splitlines()


def _rows(measures: Measures) -> list[tuple[str, str, str]]:
    """Name, value with interval, and a note for each headline measure."""
    rows = [("error", _share(measures.error), f"{measures.error.count} of {measures.n}")]
    rows += [
        (f"top-{k} error", _share(share), f"{share.count} of {measures.n}")
        for k, share in measures.top_k_error.items()
    ]
    chance = measures.calibration_by_chance
    bins = f"{len(measures.reliability)} bins"
    few = ""
    if measures.error.count <= FEW_MISTAKES:
        few = f"hardly known from {measures.error.count} mistake(s): read the error"
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
        if (value := getattr(measures, field)) is not None
    ]


def _share(share: Proportion) -> str:
    return f"{percent(share.value)} % [{percent(share.low)}, {percent(share.high)}]"


def _estimate(estimate: Estimate, in_percent: bool) -> str:
    spell = percent if in_percent else number
    text = spell(estimate.value) + " %" * in_percent
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} [{spell(estimate.low)}, {spell(estimate.high)}]"
