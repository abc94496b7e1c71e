"""What a search found: its trials, the best of them and how far that can be trusted."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.api.run import Run
from striate.api.study import Study, leaks_of, write_page
from striate.errors import RunError
from striate.evaluation import holm, load_answers, mcnemar, percent, wilson
from striate.evaluation.trial_chart import history_chart, importance_chart, setting_chart
from striate.search import Choices, Dimension, Space
from striate.search.storage import Storage
from striate.search.trial import TrialRecord
from striate.training.folder import RunFolder

__all__ = ["Search", "found_so_far"]

_SHOWN = 10
"""Trials in the table of the terminal; the page has all."""
_SHOWN_SHARE = 0.8
"""Of the errors that charts show: those that failed wholly would press the rest flat."""


@dataclass(frozen=True)
class Search:
    """The trials of a search, the best first among those that were trained whole."""

    path: Path
    title: str
    space: Space
    records: tuple[TrialRecord, ...]
    importance: Mapping[str, float]
    """By setting; empty while there are too few trials."""
    alike: int | None = None
    """Trials that cannot be told from the best on the same images; None: not looked at."""
    leaks: tuple[str, ...] = ()
    """What is said of test images that have their like among the others."""
    stopped_by: int | None = None

    @property
    def page(self) -> Path:
        return self.path / "search.html"

    @property
    def whole(self) -> list[TrialRecord]:
        """Trials trained to their end, the best first: least error, then least loss."""
        found = [record for record in self.records if record.state == "whole"]
        return sorted(found, key=_standing)

    @property
    def best(self) -> Path:
        """The run of the best trial.

        Raises:
            RunError: no trial has been trained whole.
        """
        if not self.whole:
            raise RunError(f"No trial of {self.path} has been trained to its end.")
        return self.path / str(self.whole[0].told["run"])

    @property
    def num_finished(self) -> int:
        return sum(record.is_finished for record in self.records)

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        told: dict[str, Any] = {
            "kind": "search",
            "counts": {s: self._count(s) for s in ("whole", "pruned", "failed", "running")},
            "trials": [_trial_json(record) for record in self.records],
            "importance": dict(self.importance),
            "alike": self.alike,
            "leaks": list(self.leaks),
        }
        if self.whole:
            first = self.whole[0].told
            adjusted = self._adjusted()
            told["best"] = {
                "trial": self.whole[0].number,
                "run": first["run"],
                "error": adjusted.value,
                "n": adjusted.n,
                "looks": self.num_finished,
                "low": adjusted.low,
                "high": adjusted.high,
            }
        return told

    def lines(self) -> list[str]:
        """The best trials as a plain table, and how to read it."""
        rows = [self._columns(), *(self._row(record) for record in self.whole[:_SHOWN])]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = [
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        more = len(self.whole) - _SHOWN
        if more > 0:
            table.append(f"... and {more} more on the page")
        closing = [f"Best run: {self.best}"] if self.whole else []
        return [*table, "", *self.sentences, *closing]

    @property
    def sentences(self) -> list[str]:
        """What was found, and how far it can be trusted."""
        counted = (
            f"{self.num_finished} trials: {self._count('whole')} trained whole, "
            f"{self._count('pruned')} given up early."
        )
        if self._count("failed"):
            counted += f" {self._count('failed')} could not be trained."
        if self._count("running"):
            counted += f" {self._count('running')} are being trained by other processes."
        if not self.whole:
            return [counted, *self.leaks]
        best, share = self.whole[0], self._adjusted()
        found = [
            counted,
            f"Trial {best.number} has the least validation error, {percent(share.value)} % "
            f"({share.count} of {share.n:,}).",
            f"It was chosen for just that, on these very images, so the error is too good by "
            f"chance: read it with the interval {percent(share.low)} to {percent(share.high)} % "
            f"(Bonferroni, for {self.num_finished} trials). The test split is there to settle it: "
            f"striate evaluate {self.best}",
        ]
        if self.alike:
            found.insert(
                2,
                f"{self.alike} of the other {len(self.whole) - 1} whole trials cannot be told from "
                "it on these images (exact McNemar tests, Holm).",
            )
        plan = next((r for r in self.whole if self._is_plan(r)), None)
        if plan is not None and plan is not best:
            found.insert(
                2,
                f"The plan that train would follow, trial {plan.number}, has "
                f"{percent(plan.told['wrong'] / plan.told['n'])} %.",
            )
        return [*found, *self.leaks]

    def write(self) -> None:
        """Write search.html and result.json."""
        headline = "No trial has been trained to its end yet."
        if self.whole:
            share = self._adjusted()
            headline = (
                f"The best of {self.num_finished} trials has {percent(share.value)} % validation "
                f"error; read it as {percent(share.low)} to {percent(share.high)} %, n = "
                f"{share.n:,}."
            )
        write_page(
            self.path,
            self.to_json(),
            name=self.page.name,
            title=f"{self.title} · search",
            headline=headline,
            facts=self.sentences,
            charts=self._charts(),
            tables=[
                {
                    "heading": "Trials trained whole",
                    "columns": self._columns(),
                    "rows": [
                        [cell.replace(" ", "\u00a0") for cell in self._row(record)]
                        for record in self.whole
                    ],
                },
                {
                    "heading": "Others",
                    "columns": ["trial", "ended", *self._keys],
                    "rows": [
                        [str(r.number), _ending(r), *_spelt(r, self._keys)]
                        for r in self.records
                        if r.state != "whole"
                    ],
                },
            ],
        )

    @property
    def _keys(self) -> list[str]:
        return [dimension.key for dimension in self.space.dimensions]

    def _columns(self) -> list[str]:
        return ["trial", "error", "95 % interval", "wrong", *self._keys]

    def _row(self, record: TrialRecord) -> list[str]:
        share = wilson(record.told["wrong"], record.told["n"])
        plan = " (the plan)" if self._is_plan(record) else ""
        return [
            f"{record.number}{plan}",
            f"{percent(share.value)} %",
            f"{percent(share.low)} to {percent(share.high)} %",
            f"{share.count:,} of {share.n:,}",
            *_spelt(record, self._keys),
        ]

    def _is_plan(self, record: TrialRecord) -> bool:
        plan = self.space.plan_drawn()
        return bool(plan) and all(
            record.drawn.get(d.key) == _label(d, plan[d.key])
            for d in self.space.dimensions
            if d.key in plan
        )

    def _count(self, state: str) -> int:
        return sum(record.state == state for record in self.records)

    def _adjusted(self) -> Any:
        """The share of the best with an interval that holds for all finished trials at once."""
        told = self.whole[0].told
        return wilson(told["wrong"], told["n"], confidence=1 - 0.05 / max(1, self.num_finished))

    def _charts(self) -> list[dict[str, Any]]:
        errors = {r.number: 100 * r.told["wrong"] / r.told["n"] for r in self.whole}
        if not errors:
            return []
        lost = [
            (r.number, 100 * r.errors[-1][1])
            for r in self.records
            if r.state == "pruned" and r.errors
        ]
        ordered = sorted([*errors.values(), *(error for _, error in lost)])
        top = ordered[math.ceil(_SHOWN_SHARE * len(ordered)) - 1]
        shown = {number: error for number, error in errors.items() if error <= top}
        above = len(errors) - len(shown) + sum(error > top for _, error in lost)
        left_out = f" ({above} above {top:.3g} % not shown)" if above else ""
        charts = [
            {
                "title": f"Trials, given up ones in grey{left_out}",
                "svg": history_chart(
                    list(shown.items()), [point for point in lost if point[1] <= top]
                ),
            }
        ]
        if self.importance:
            title = f"Importance of the settings (rough: {len(errors)} trials)"
            charts.append({"title": title, "svg": importance_chart(self.importance)})
        by_number = {record.number: record for record in self.records}
        for dimension in self.space.dimensions:
            points = [
                (by_number[n].drawn[dimension.key], error)
                for n, error in shown.items()
                if dimension.key in by_number[n].drawn
            ]
            names = dimension.labels if isinstance(dimension, Choices) else ()
            unit = ", × the plan" if dimension.relative else ""
            drawn = setting_chart(
                dimension.key + unit,
                points,
                names=names,
                log=not isinstance(dimension, Choices) and dimension.log,
            )
            if drawn:
                charts.append({"title": dimension.key, "svg": drawn})
        return charts


def found_so_far(
    study: Study,
    space: Space,
    storage: Storage,
    *,
    compared: bool = False,
    stopped_by: int | None = None,
) -> Search:
    """The trials as they stand.

    Args:
        study: the search's folder.
        space: what varies.
        storage: of the trials.
        compared: compare the whole trials with the best, image by image.
        stopped_by: number of the signal that stopped the search, if one did.
    """
    found = Search(
        study.path,
        study.resolved.source.title,
        space,
        tuple(storage.records()),
        storage.importance(),
        leaks=tuple(_leaks(study.path, storage.records())),
        stopped_by=stopped_by,
    )
    if not compared or len(found.whole) < 2:
        return found
    runs = [found.path / str(record.told["run"]) for record in found.whole]
    return Search(**{**vars(found), "alike": _alike(runs)})


def _leaks(folder: Path, records: Sequence[TrialRecord]) -> list[str]:
    for record in records:
        run = folder / str(record.told.get("run", ""))
        if (run / "run.json").is_file():
            return leaks_of([Run(run)])
    return []


def _alike(runs: Sequence[Path]) -> int:
    """How many of the others err about as often as the first, on the same images."""
    stored = [load_answers(RunFolder(run).answers) for run in runs]
    order = [{digest: i for i, digest in enumerate(s.digests)} for s in stored]
    wrong = [s.probabilities.argmax(axis=1) != s.labels for s in stored]
    first = wrong[0]
    p = []
    for places, other in zip(order[1:], wrong[1:], strict=True):
        paired = other[[places[digest] for digest in stored[0].digests]]
        p.append(mcnemar(int((first & ~paired).sum()), int((paired & ~first).sum())))
    return sum(value > 0.05 for value in holm(p))


def _standing(record: TrialRecord) -> tuple[float, float, int]:
    told = record.told
    loss = told.get("loss")
    return told["wrong"] / told["n"], float("inf") if loss is None else loss, record.number


def _trial_json(record: TrialRecord) -> dict[str, Any]:
    told = dict(record.told)
    found = {"trial": record.number, "state": record.state, **told}
    if record.state == "whole":
        share = wilson(told["wrong"], told["n"])
        found |= {"error": share.value, "low": share.low, "high": share.high}
    return found | {"drawn": dict(record.drawn), "on_the_way": [list(e) for e in record.errors]}


def _label(dimension: Dimension, value: Any) -> Any:
    if isinstance(dimension, Choices):
        return dimension.labels[dimension.values.index(value)]
    return value


def _spelt(record: TrialRecord, keys: Sequence[str]) -> list[str]:
    values = record.told.get("values", {})
    return [_number(key, values[key]) if key in values else "" for key in keys]


def _number(key: str, value: Any) -> str:
    said = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"×{said}" if key == "width" else said


def _ending(record: TrialRecord) -> str:
    if record.state == "running":
        return "under way"
    return str(record.told.get("ended") or record.told.get("reason") or record.state)
