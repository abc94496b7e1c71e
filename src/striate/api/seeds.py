"""One configuration trained with several seeds: randomness of the training against few images."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.api.headline import per_item
from striate.api.request import Request
from striate.api.study import StudyResult, open_study, train_runs, with_seed
from striate.errors import ConfigError
from striate.evaluation import SeedSpread, format_interval, format_metric, seed_spread
from striate.terminal import Once, Reporter


@dataclass(frozen=True)
class SeedStudy(StudyResult):
    """Runs that differ in their seed, and the spread of their headline metric by split."""

    spreads: Mapping[str, SeedSpread]
    """Spread on "validation", and on "test" once all runs were evaluated; empty when stopped."""

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return {
            "kind": "seeds",
            "runs": [run.path.name for run in self.runs],
            "seeds": [run.config.training.seed for run in self.runs],
            "splits": {name: spread.to_json() for name, spread in self.spreads.items()},
        }

    def content(self) -> dict[str, Any]:
        """The content of the page."""
        split, spread = list(self.spreads.items())[-1]
        share = self.is_share
        rows = [
            [f"seed {run.config.training.seed}", *(format_metric(e, share) for e in errors)]
            for run, *errors in zip(
                self.runs, *(spread.errors for spread in self.spreads.values()), strict=True
            )
        ]
        return {
            "title": f"{self.title} · {len(self.runs)} seeds",
            "headline": f"The {split} {self.metric} is {format_metric(spread.mean, share)} "
            f"{format_interval(spread.both, share)} over seeds and images, n = {spread.n:,}.",
            "facts": [
                "A seed changes where the training starts and in which order it sees the images. "
                "The deviation between seeds would be seen again on the same images; the interval "
                "for other images says what a new sample from the same source could show.",
            ],
            "tables": [
                *(
                    {
                        "heading": name.capitalize(),
                        "columns": ["", ""],
                        "rows": _spread_rows(f"{name} {self.metric}", spread, share),
                    }
                    for name, spread in self.spreads.items()
                ),
                {"heading": "Runs", "columns": ["", *self.spreads], "rows": rows},
            ],
        }


def train_seeds(
    data: str | Path,
    num_seeds: int,
    *,
    out: Path | None = None,
    reporter: Reporter | None = None,
    **request: Any,
) -> SeedStudy:
    """Train the seeds seed, seed + 1, ... and separate their spread from that of few images.

    The same call continues after a kill, and with more seeds adds to those that are there.

    Args:
        data: Path or name.
        num_seeds: Number of seeds, 2 or more.
        out: Folder of the study; None: one under runs/ whose name follows from the request.
        reporter: Receives what happens; None: nobody.
        request: Any field of `Request`; `minutes` is the time of each training.

    Raises:
        ConfigError, DataError, RunError, CheckpointError, DivergenceError.
    """
    if num_seeds < 2:
        raise ConfigError(f"--seeds {num_seeds}: a spread needs 2 seeds or more.")
    reporter = Once(reporter or Reporter())
    study = open_study("seeds", Request(data, **request), out, reporter)
    base = study.resolved.config
    configs = [
        (f"seed-{seed}", f"Seed {seed} ({k} of {num_seeds})", with_seed(base, seed))
        for k, seed in enumerate(range(base.training.seed, base.training.seed + num_seeds), start=1)
    ]
    runs, stopped_by = train_runs(study, configs, reporter)
    spreads = {}
    if stopped_by is None:
        files = {"validation": [run.folder.predictions for run in runs]}
        if all(run.folder.test_predictions.is_file() for run in runs):
            files["test"] = [run.folder.test_predictions for run in runs]
        spreads = {split: seed_spread(per_item(runs[0], paths)) for split, paths in files.items()}
    result = SeedStudy(study.path, study.title, tuple(runs), stopped_by, spreads)
    if stopped_by is None:
        result.write()
    return result


def _spread_rows(metric: str, spread: SeedSpread, share: bool) -> list[tuple[str, str]]:
    mean = f"{format_metric(spread.mean, share)}, n = {spread.n:,}"
    deviation = (
        f"{format_metric(spread.deviation.value, share)} {format_interval(spread.deviation, share)}"
    )
    own = format_metric(spread.own_deviation, share)
    return [
        (f"{metric}, mean of {len(spread.errors)} seeds", mean),
        ("standard deviation between seeds", deviation.replace("%", "points")),
        ("part of it beyond these images", own.replace("%", "points")),
        ("95 % interval for more seeds, these images", format_interval(spread.seeds, share)),
        ("95 % interval for other images, these networks", format_interval(spread.images, share)),
        ("95 % interval for both", format_interval(spread.both, share)),
    ]
