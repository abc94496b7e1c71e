"""Cross-validation: every development image is answered by a network that did not see it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from striate.api.request import Request
from striate.api.resolve import Resolved
from striate.api.run import Run
from striate.api.study import leaks_of, look, member, open_study, with_seed, write_page
from striate.errors import ConfigError
from striate.evaluation import Estimate, Proportion, corrected_resampled, percent, wilson
from striate.terminal import Once, Reporter

__all__ = ["CrossValidation", "cross_validate"]


@dataclass(frozen=True)
class CrossValidation:
    """The runs of all folds, and the error of the procedure with its corrected interval."""

    path: Path
    folds: int
    repeats: int
    runs: tuple[Run, ...] = ()
    error: Estimate | None = None
    """None when stopped."""
    stopped_by: int | None = None

    @property
    def page(self) -> Path:
        return self.path / "study.html"

    @property
    def n(self) -> int:
        """Development images, each answered once in a repeat."""
        return int(sum(run.validation.n for run in self.runs)) // max(1, self.repeats)

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        counts = [run.validation.error for run in self.runs]
        return {
            "kind": "cv",
            "folds": self.folds,
            "repeats": self.repeats,
            "n": self.n,
            "error": None if self.error is None else self.error.to_json(),
            "pooled_error": sum(c.count for c in counts) / max(1, sum(c.n for c in counts)),
            "deviation": float(np.std([c.value for c in counts], ddof=1)) if counts else None,
            "runs": [
                {
                    "run": run.path.name,
                    "repeat": run.config.data.fold_seed,
                    "fold": run.config.data.fold,
                    "wrong": c.count,
                    "n": c.n,
                    "error": c.value,
                }
                for run, c in zip(self.runs, counts, strict=True)
            ],
        }

    def lines(self) -> list[str]:
        """The result as plain lines."""
        told = self.to_json()
        lines = [
            f"{row['run']:<18} error {percent(row['error'])} %  {row['wrong']} of {row['n']:,}"
            for row in told["runs"]
        ]
        return [*lines, self.sentence, *leaks_of(self.runs)]

    @property
    def sentence(self) -> str:
        """The error with its interval, and how it was found."""
        if self.error is None:
            return "The cross-validation has not ended."
        ends = f"[{percent(self.error.low or 0.0)}, {percent(self.error.high or 0.0)}]"
        times = f", {self.repeats} times" if self.repeats > 1 else ""
        return (
            f"Error {percent(self.error.value)} % {ends} (corrected 95 % interval over "
            f"{len(self.runs)} trainings; {self.folds} folds{times}, n = {self.n:,}); the test "
            "split is sealed as it was."
        )


def cross_validate(
    data: str | Path,
    *,
    folds: int = 5,
    repeats: int = 1,
    out: Path | None = None,
    reporter: Reporter | None = None,
    **how: Any,
) -> CrossValidation:
    """Train once for each fold of the images outside the test split, and measure on that fold.

    Folds are stratified by class and divide no group. Each training is an ordinary run whose
    validation split is its fold; the test split is the one that `train` would seal, and no run
    can read it. The same call goes on after a kill, and with more repeats adds to what is there.

    Args:
        data: as in `train`.
        folds: how many, 2 or more.
        repeats: how many times the images are divided anew.
        out: folder of the study; None: one under runs/ that follows from what is asked.
        reporter: is told what happens; None: nobody.
        how: the other arguments of `train`; `minutes` is of each training.

    Raises:
        ConfigError, DataError, RunError, CheckpointError, DivergenceError.

    Source: the interval: Nadeau and Bengio, "Inference for the generalization error", 2003.
    """
    if folds < 2 or repeats < 1:
        raise ConfigError(
            f"--folds {folds} --repeat {repeats}: there must be 2 folds or more, 1 repeat or more."
        )
    reporter = Once(reporter or Reporter())

    def complete(resolved: Resolved) -> tuple[Resolved, dict[str, Any]]:
        if resolved.config.data.folds is not None:
            raise ConfigError("data.folds is chosen by --folds here; leave out the setting.")
        look(replace(resolved.config.data, folds=folds), resolved, reporter)
        return resolved, {}

    study = open_study(f"cv-{folds}", Request(data, **how), out, reporter, complete=complete)
    base = study.resolved.config
    runs: list[Run] = []
    for repeat in range(repeats):
        for fold in range(folds):
            reporter.say(f"Fold {fold + 1} of {folds}, repeat {repeat + 1} of {repeats}")
            divided = replace(base.data, folds=folds, fold=fold, fold_seed=repeat)
            config = with_seed(replace(base, data=divided), base.training.seed + len(runs))
            run = member(study, f"repeat-{repeat + 1}-fold-{fold + 1}", config, reporter)
            if run.stopped_by is not None:
                return CrossValidation(
                    study.path, folds, repeats, tuple(runs), stopped_by=run.stopped_by
                )
            runs.append(run)
    error = _error([run.validation.error for run in runs], folds, repeats)
    found = CrossValidation(study.path, folds, repeats, tuple(runs), error)
    rows = [
        [row["run"], f"{percent(row['error'])} %", f"{row['wrong']:,}", f"{row['n']:,}"]
        for row in found.to_json()["runs"]
    ]
    write_page(
        study.path,
        found.to_json(),
        title=f"{study.resolved.source.title} · {folds}-fold cross-validation",
        headline=found.sentence,
        facts=[
            "The training sets of the folds overlap, so their errors are not independent: the "
            "interval is Student's, widened for that (Nadeau and Bengio, 2003), and at least as "
            "wide as Wilson's for so many images.",
            *leaks_of(runs),
        ],
        charts=[],
        tables=[{"heading": "Folds", "columns": ["run", "error", "wrong", "n"], "rows": rows}],
    )
    return found


def _error(counts: Sequence[Proportion], folds: int, repeats: int) -> Estimate:
    """The mean error of all folds, its interval corrected and at least as wide as Wilson's."""
    total = sum(c.n for c in counts) / repeats
    held = total / folds
    error = corrected_resampled([c.value for c in counts], total - held, held)
    # Folds that err alike by chance, as without any error, do not make the images more.
    images = wilson(round(sum(c.count for c in counts) / repeats), round(total))
    return Estimate(
        error.value, min(error.low or 0.0, images.low), max(error.high or 0.0, images.high)
    )
