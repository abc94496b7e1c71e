"""Cross-validation: every development image is predicted by a network that did not see it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.api.headline import per_item
from striate.api.request import Request
from striate.api.resolve import Resolved
from striate.api.study import StudyResult, check_images, open_study, train_runs, with_seed
from striate.config import RunConfig
from striate.errors import ConfigError
from striate.evaluation import (
    Estimate,
    corrected_resampled,
    format_interval,
    format_metric,
    wilson,
)
from striate.terminal import Once, Reporter
from striate.typed_json import encode


@dataclass(frozen=True)
class CrossValidation(StudyResult):
    """The runs of all folds, and their headline metric with its corrected interval."""

    folds: int
    repeats: int
    values: tuple[npt.NDArray[Any], ...]
    """(N,) headline metric of each validation image, by run: of classes, whether it was wrong."""
    error: Estimate | None
    """Mean of the metric over the runs; None when stopped."""

    @property
    def n(self) -> int:
        """Number of development images, each predicted once in a repeat."""
        return sum(map(len, self.values)) // self.repeats

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        means = [float(values.mean()) for values in self.values]
        return {
            "kind": "cv",
            "folds": self.folds,
            "repeats": self.repeats,
            "n": self.n,
            "error": encode(self.error),
            "pooled_error": float(np.concatenate(self.values).mean()) if means else 0.0,
            "deviation": float(np.std(means, ddof=1)) if means else None,
            "runs": [
                {
                    "run": run.path.name,
                    "repeat": run.config.data.fold_seed,
                    "fold": run.config.data.fold,
                    "wrong": int(values.sum()) if values.dtype == np.bool_ else None,
                    "n": len(values),
                    "error": mean,
                }
                for run, values, mean in zip(self.runs, self.values, means, strict=True)
            ],
        }

    def content(self) -> dict[str, Any]:
        """The content of the page."""
        share = self.is_share
        rows = [
            [
                row["run"],
                format_metric(row["error"], share),
                f"{row['wrong']:,}" if share else "–",
                f"{row['n']:,}",
            ]
            for row in self.to_json()["runs"]
        ]
        columns = ["run", self.metric, "wrong", "n"]
        return {
            "title": f"{self.title} · {self.folds}-fold cross-validation",
            "headline": self.sentence,
            "facts": [
                "The training sets of the folds overlap, so their results are not independent: the "
                "interval is Student's, widened for that (Nadeau and Bengio, 2003), and that of a "
                "share at least as wide as Wilson's for so many images.",
            ],
            "tables": [{"heading": "Folds", "columns": columns, "rows": rows}],
        }

    @property
    def sentence(self) -> str:
        """The headline metric with its interval, and how it was measured."""
        if self.error is None:
            return "The cross-validation has not ended."
        times = f", {self.repeats} times" if self.repeats > 1 else ""
        return (
            f"Cross-validated {self.metric} {format_metric(self.error.value, self.is_share)} "
            f"{format_interval(self.error, self.is_share)} (corrected 95 % interval over "
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
    **request: Any,
) -> CrossValidation:
    """Train once for each fold of the images outside the test split, and measure on that fold.

    Folds are stratified by class and divide no group. Each training is an ordinary run whose
    validation split is its fold; the test split is the one that `train` would seal, and no run
    can read it. The same call continues after a kill, and with more repeats adds to what is there.

    Args:
        data: Path or name.
        folds: Number of folds, 2 or more.
        repeats: Number of times that the images are divided anew.
        out: Folder of the study; None: one under runs/ whose name follows from the request.
        reporter: Receives what happens; None: nobody.
        request: Any field of `Request`; `minutes` is the time of each training.

    Raises:
        ConfigError, DataError, RunError, CheckpointError, DivergenceError.

    Source: the interval: Nadeau and Bengio, "Inference for the generalization error", 2003.
    """
    if folds < 2 or repeats < 1:
        raise ConfigError(
            f"--folds {folds} --repeat {repeats}: there must be 2 folds or more, 1 repeat or more."
        )
    reporter = Once(reporter or Reporter())

    def complete(resolved: Resolved, reporter: Reporter) -> tuple[RunConfig, dict[str, Any]]:
        if resolved.config.data.folds is not None:
            raise ConfigError("data.folds is chosen by --folds here; leave out the setting.")
        data = replace(resolved.config.data, folds=folds, validation="apart")
        check_images(replace(resolved.config, data=data), resolved, reporter)
        return resolved.config, {}

    study = open_study(f"cv-{folds}", Request(data, **request), out, reporter, complete)
    base = study.resolved.config
    configs = []
    for number in range(repeats * folds):
        repeat, fold = divmod(number, folds)
        divided = replace(base.data, folds=folds, fold=fold, fold_seed=repeat, validation="apart")
        config = with_seed(replace(base, data=divided), base.training.seed + number)
        announcement = f"Fold {fold + 1} of {folds}, repeat {repeat + 1} of {repeats}"
        configs.append((f"repeat-{repeat + 1}-fold-{fold + 1}", announcement, config))
    runs, stopped_by = train_runs(study, configs, reporter)
    values = tuple(per_item(run, [run.folder.predictions])[0] for run in runs)
    mean = _mean(values, folds, repeats) if stopped_by is None else None
    result = CrossValidation(
        study.path, study.title, tuple(runs), stopped_by, folds, repeats, values, mean
    )
    if stopped_by is None:
        result.write()
    return result


def _mean(values: Sequence[npt.NDArray[Any]], folds: int, repeats: int) -> Estimate:
    """The mean of all folds, its interval corrected; of a share at least as wide as Wilson's."""
    pooled = np.concatenate(values)
    total = len(pooled) / repeats
    held_out = total / folds
    share = pooled.dtype == np.bool_
    means = [float(of_run.mean()) for of_run in values]
    mean = corrected_resampled(means, total - held_out, held_out, is_share=share)
    if not share:
        return mean
    # Folds whose shares happen to be equal, perhaps all 0, are no evidence of more images.
    images = wilson(round(pooled.sum() / repeats), round(total))
    return Estimate(
        mean.value, min(mean.low or 0.0, images.low), max(mean.high or 0.0, images.high)
    )
