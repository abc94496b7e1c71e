"""The result of a search: its trials, the best of them and how far that can be trusted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.api import search_trial
from striate.api.run import Run, per_item
from striate.api.search_chart import search_charts
from striate.api.study import Study, leaks_of, write_page
from striate.errors import RunError
from striate.evaluation import Proportion, holm, load_predictions, mcnemar, percent
from striate.run_folder import RunFolder
from striate.search import Space
from striate.search.storage import Storage
from striate.search.trial import TrialRecord

__all__ = ["Search", "found_so_far"]

_SHOWN = 10
"""Trials in the table of the terminal; the page has all."""


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
        return sorted(found, key=search_trial.standing)

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
            "trials": [search_trial.to_json(record) for record in self.records],
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
        shown = [search_trial.row(record, self.space) for record in self.whole[:_SHOWN]]
        rows = [search_trial.columns(self.space), *shown]
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
        """Sentences on the result of a search, and how far it can be trusted."""
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
        plan = next((r for r in self.whole if search_trial.is_plan(r, self.space)), None)
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
            charts=search_charts(self.space, self.records, self.importance),
            tables=self._tables(),
        )

    def _tables(self) -> list[dict[str, Any]]:
        keys = [dimension.key for dimension in self.space.dimensions]
        return [
            {
                "heading": "Trials trained whole",
                "columns": search_trial.columns(self.space),
                "rows": [
                    [cell.replace(" ", "\u00a0") for cell in search_trial.row(r, self.space)]
                    for r in self.whole
                ],
            },
            {
                "heading": "Others",
                "columns": ["trial", "ended", *keys],
                "rows": [
                    [str(r.number), search_trial.ending(r), *search_trial.spelt(r, keys)]
                    for r in self.records
                    if r.state != "whole"
                ],
            },
        ]

    def _count(self, state: str) -> int:
        return sum(record.state == state for record in self.records)

    def _adjusted(self) -> Proportion:
        """The share of the best with an interval that holds for all finished trials at once."""
        return search_trial.share(self.whole[0], looks=max(1, self.num_finished))


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
    paths = [RunFolder(run).answers for run in runs]
    stored = [load_predictions(path) for path in paths]
    order = [{digest: i for i, digest in enumerate(s.digests)} for s in stored]
    wrong = [per_item(Run(runs[0]), [path])[0] for path in paths]
    first = wrong[0]
    p = []
    for places, other in zip(order[1:], wrong[1:], strict=True):
        paired = other[[places[digest] for digest in stored[0].digests]]
        p.append(mcnemar(int((first & ~paired).sum()), int((paired & ~first).sum())))
    return sum(value > 0.05 for value in holm(p))
