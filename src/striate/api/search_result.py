"""The result of a search: its trials, the best of them and how far that can be trusted."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from striate.api.headline import (
    headline,
    headline_metric,
    rows_by_digest,
)
from striate.api.run import Run
from striate.api.search_chart import search_charts
from striate.api.study import Study, StudyResult
from striate.drawing.table import text_table
from striate.errors import RunError, command_line
from striate.evaluation import (
    Estimate,
    Proportion,
    compare,
    format_metric,
    format_value,
    holm,
    wilson,
)
from striate.search import Space
from striate.search.storage import Storage
from striate.search.trial import TrialRecord

_SHOWN = 10
"""Trials in the table of the terminal; the page has all."""


@dataclass(frozen=True)
class Search(StudyResult):
    """The trials of a search, and the best of those that were trained whole."""

    page_name: ClassVar[str] = "search.html"
    space: Space
    records: tuple[TrialRecord, ...]
    importance: Mapping[str, float]
    """Importance by setting; empty while there are too few trials."""
    num_equal: int | None = None
    """Trials that cannot be told from the best on the same images; None: not compared."""

    @property
    def lower_is_better(self) -> bool:
        """Direction of the headline metric."""
        return not self.runs or headline_metric(self.runs[0]).lower_is_better

    @property
    def whole(self) -> list[TrialRecord]:
        """Trials trained to their end, the best first: best metric, then least loss."""
        sign = 1 if self.lower_is_better else -1

        def rank(record: TrialRecord) -> tuple[float, float, int]:
            loss = record.notes.get("loss")
            return sign * (record.value or 0.0), math.inf if loss is None else loss, record.number

        return sorted((r for r in self.records if r.state == "whole"), key=rank)

    @property
    def best(self) -> Path:
        """The run of the best trial.

        Raises:
            RunError: No trial has been trained whole.
        """
        if not self.whole:
            raise RunError(f"No trial of {self.path} has been trained to its end.")
        return self.path / self.whole[0].run

    @property
    def num_finished(self) -> int:
        return sum(record.is_finished for record in self.records)

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        values: dict[str, Any] = {
            "kind": "search",
            "counts": {s: self._count(s) for s in ("whole", "pruned", "failed", "running")},
            "trials": [_trial_json(record) for record in self.records],
            "importance": dict(self.importance),
            "alike": self.num_equal,
            "leaks": self.leaks,
        }
        if self.whole:
            first, adjusted = self.whole[0], self._adjusted()
            values["best"] = {
                "trial": first.number,
                "run": first.run,
                "error": adjusted.value,
                "n": first.notes["n"],
                "looks": self.num_finished,
                "low": adjusted.low,
                "high": adjusted.high,
            }
        return values

    def lines(self) -> list[str]:
        """The best trials as a plain table, and how to read it."""
        lines = [text_table([self._columns(), *map(self._row, self.whole[:_SHOWN])], "<")]
        more = len(self.whole) - _SHOWN
        if more > 0:
            lines.append(f"... and {more} more on the page")
        closing = [f"Best run: {self.best}"] if self.whole else []
        return [*lines, "", *self.sentences, *self.leaks, *closing]

    @property
    def sentences(self) -> list[str]:
        """The result, and how far it can be trusted."""
        counted = (
            f"{self.num_finished} trials: {self._count('whole')} trained whole, "
            f"{self._count('pruned')} stopped early."
        )
        if self._count("failed"):
            counted += f" {self._count('failed')} could not be trained."
        if self._count("running"):
            counted += f" {self._count('running')} are being trained by other processes."
        if not self.whole:
            return [counted]
        best, adjusted = self.whole[0], self._adjusted()
        wrong = f" ({_wrong(best)})" if _wrong(best) else ""
        least = "least" if self.lower_is_better else "greatest"
        sentences = [
            counted,
            f"Trial {best.number} has the {least} validation {self.metric}, "
            f"{format_value(adjusted)}{wrong}.",
        ]
        plan = next((r for r in self.whole if r.is_plan(self.space)), None)
        if plan is not None and plan is not best:
            sentences.append(
                f"The plan that train would follow, trial {plan.number}, has "
                f"{format_value(_estimate(plan))}."
            )
        if self.num_equal:
            sentences.append(
                f"{self.num_equal} of the other {len(self.whole) - 1} whole trials cannot be told "
                "from it on these images (paired tests, Holm)."
            )
        sentences.append(
            f"It was chosen for just that, on these very images, so the {self.metric} is too good "
            f"by chance: read it with the interval {_interval(adjusted)} "
            f"(Bonferroni, for {self.num_finished} trials). The test split is there to settle it: "
            f"{command_line('evaluate', self.best)}"
        )
        return sentences

    def content(self) -> dict[str, Any]:
        """The content of the page."""
        keys = [dimension.key for dimension in self.space.dimensions]
        others = [record for record in self.records if record.state != "whole"]
        text, charts = "No trial has been trained to its end yet.", []
        if self.whole:
            adjusted = self._adjusted()
            text = (
                f"The best of {self.num_finished} trials has {format_value(adjusted)} "
                f"validation {self.metric}; read it as {_interval(adjusted)}, n = "
                f"{self.whole[0].notes['n']:,}."
            )
            metric = headline_metric(self.runs[0])
            charts = search_charts(
                self.space, self.records, self.importance, metric, is_share=self.is_share
            )
        return {
            "title": f"{self.title} · search",
            "headline": text,
            "facts": self.sentences,
            "charts": charts,
            "tables": [
                {
                    "heading": "Trials trained whole",
                    "columns": self._columns(),
                    "rows": [
                        [cell.replace(" ", "\u00a0") for cell in self._row(r)] for r in self.whole
                    ],
                },
                {
                    "heading": "Others",
                    "columns": ["trial", "ended", *keys],
                    "rows": [[str(r.number), r.ending, *r.cells(keys)] for r in others],
                },
            ],
        }

    def _columns(self) -> list[str]:
        metric = self.metric if self.whole else "metric"
        return ["trial", metric, "95 % interval", "wrong", *(d.key for d in self.space.dimensions)]

    def _row(self, record: TrialRecord) -> list[str]:
        return [
            f"{record.number}{' (the plan)' if record.is_plan(self.space) else ''}",
            format_value(_estimate(record)),
            _interval(_estimate(record)),
            _wrong(record),
            *record.cells([dimension.key for dimension in self.space.dimensions]),
        ]

    def _count(self, state: str) -> int:
        return sum(record.state == state for record in self.records)

    def _adjusted(self) -> Estimate | Proportion:
        """The metric of the best with an interval that holds for all finished trials at once."""
        return headline(Run(self.best), confidence=1 - 0.05 / max(1, self.num_finished))


def search_result(
    study: Study, storage: Storage, *, compared: bool = False, stopped_by: int | None = None
) -> Search:
    """The trials so far.

    Args:
        study: The search's study.
        storage: Storage of the trials.
        compared: Compare the whole trials with the best, image by image.
        stopped_by: Number of the signal that stopped the search, if one did.
    """
    records = tuple(storage.records())
    folders = [study.path / record.run for record in records if record.run]
    runs = tuple(Run(folder) for folder in folders if (folder / "run.json").is_file())
    result = Search(
        study.path, study.title, runs, stopped_by, storage.space, records, storage.importance()
    )
    if not compared or len(result.whole) < 2:
        return result
    whole = [Run(result.path / record.run) for record in result.whole]
    return replace(result, num_equal=_num_equal(whole))


def _num_equal(runs: list[Run]) -> int:
    """How many runs cannot be told from the first one on the same images (Holm, 5 %)."""
    metric = headline_metric(runs[0])
    best, *others = map(rows_by_digest, runs)
    p = [compare(metric, {"best": best, "other": other}).pairs[0].p for other in others]
    return sum(value > 0.05 for value in holm(p))


def _estimate(record: TrialRecord) -> Estimate | Proportion:
    """The metric of a trial trained whole, with its own 95 % interval."""
    notes = record.notes
    if "wrong" in notes:
        return wilson(notes["wrong"], notes["n"])
    return Estimate(record.value or 0.0, notes["low"], notes["high"])


def _trial_json(record: TrialRecord) -> dict[str, Any]:
    values = {"trial": record.number, "state": record.state, **record.notes}
    if record.state == "whole":
        own = _estimate(record)
        values |= {"error": own.value, "low": own.low, "high": own.high}
    return values | {"drawn": dict(record.drawn), "on_the_way": [list(e) for e in record.curve]}


def _interval(estimate: Estimate | Proportion) -> str:
    share = isinstance(estimate, Proportion)
    low, high = format_metric(estimate.low, share), format_metric(estimate.high, share)
    return f"{low.removesuffix(' %')} to {high}"


def _wrong(record: TrialRecord) -> str:
    notes = record.notes
    return f"{notes['wrong']:,} of {notes['n']:,}" if "wrong" in notes else ""
