"""One configuration trained with several seeds: chance in the training told from few images."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.api.request import Request
from striate.api.resolve import Resolved
from striate.api.run import Run, per_item
from striate.api.study import leaks_of, look, member, open_study, with_seed, write_page
from striate.errors import ConfigError
from striate.evaluation import Estimate, SeedSpread, percent, seed_spread
from striate.terminal import Once, Reporter

__all__ = ["SeedStudy", "train_seeds"]


@dataclass(frozen=True)
class SeedStudy:
    """Runs that differ in their seed, and the spread of their errors by split."""

    path: Path
    runs: tuple[Run, ...]
    spreads: Mapping[str, SeedSpread]
    """Of "validation", and of "test" once all runs were evaluated; empty when stopped."""
    stopped_by: int | None = None

    @property
    def page(self) -> Path:
        return self.path / "study.html"

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return {
            "kind": "seeds",
            "runs": [str(run.path.name) for run in self.runs],
            "seeds": [run.config.training.seed for run in self.runs],
            "splits": {name: spread.to_json() for name, spread in self.spreads.items()},
        }

    def lines(self) -> list[str]:
        """The result as plain lines."""
        found = [
            f"seed {run.config.training.seed:<6} "
            + ", ".join(f"{s} error {percent(spread.errors[k])} %" for s, spread in self._each())
            for k, run in enumerate(self.runs)
        ]
        for split, spread in self._each():
            found += [f"{name}: {value}" for name, value in _rows(split, spread)]
        return [*found, *leaks_of(self.runs)]

    def _each(self) -> list[tuple[str, SeedSpread]]:
        return list(self.spreads.items())


def train_seeds(
    data: str | Path,
    num_seeds: int,
    *,
    out: Path | None = None,
    reporter: Reporter | None = None,
    **how: Any,
) -> SeedStudy:
    """Train the seeds seed, seed + 1, ... and tell their spread from the error of few images.

    The same call goes on after a kill, and with more seeds adds to those that are there.

    Args:
        data: as in `train`.
        num_seeds: how many, 2 or more.
        out: folder of the study; None: one under runs/ that follows from what is asked.
        reporter: is told what happens; None: nobody.
        how: the other arguments of `train`; `minutes` is of each training.

    Raises:
        ConfigError, DataError, RunError, CheckpointError, DivergenceError.
    """
    if num_seeds < 2:
        raise ConfigError(f"--seeds {num_seeds}: a spread needs 2 seeds or more.")
    reporter = Once(reporter or Reporter())

    def complete(resolved: Resolved) -> tuple[Resolved, dict[str, Any]]:
        look(resolved.config.data, resolved, reporter)
        return resolved, {}

    study = open_study("seeds", Request(data, **how), out, reporter, complete=complete)
    base = study.resolved.config
    runs: list[Run] = []
    for seed in range(base.training.seed, base.training.seed + num_seeds):
        reporter.say(f"Seed {seed} ({len(runs) + 1} of {num_seeds})")
        run = member(study, f"seed-{seed}", with_seed(base, seed), reporter)
        if run.stopped_by is not None:
            return SeedStudy(study.path, tuple(runs), {}, run.stopped_by)
        runs.append(run)
    files = {"validation": [run.folder.answers for run in runs]}
    if all(run.folder.test_answers.is_file() for run in runs):
        files["test"] = [run.folder.test_answers for run in runs]
    spreads = {split: seed_spread(per_item(runs[0], paths)) for split, paths in files.items()}
    found = SeedStudy(study.path, tuple(runs), spreads)
    _write(found, study.resolved.source.title)
    return found


def _rows(split: str, spread: SeedSpread) -> list[tuple[str, str]]:
    num = len(spread.errors)
    return [
        (f"{split} error, mean of {num} seeds", f"{percent(spread.mean)} %, n = {spread.n:,}"),
        ("standard deviation between seeds", f"{_ends(spread.deviation, value=True)} points"),
        ("of it beyond these images", f"{percent(spread.own_deviation)} points"),
        ("95 % interval for more seeds, these images", _ends(spread.seeds)),
        ("95 % interval for other images, these networks", _ends(spread.images)),
        ("95 % interval for both", _ends(spread.both)),
    ]


def _ends(estimate: Estimate, *, value: bool = False) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{percent(estimate.value)} [–]" if value else "– (all erred equally often)"
    ends = f"[{percent(estimate.low)}, {percent(estimate.high)}]"
    return f"{percent(estimate.value)} {ends}" if value else f"{ends} %"


def _write(found: SeedStudy, title: str) -> None:
    split, spread = found._each()[-1]
    rows = [
        [
            f"seed {run.config.training.seed}",
            *(f"{percent(s.errors[k])} %" for _, s in found._each()),
        ]
        for k, run in enumerate(found.runs)
    ]
    write_page(
        found.path,
        found.to_json(),
        title=f"{title} · {len(found.runs)} seeds",
        headline=f"The {split} error is {percent(spread.mean)} % {_ends(spread.both)} over seeds "
        f"and images, n = {spread.n:,}.",
        facts=[
            "A seed changes where the training starts and in which order it sees the images. The "
            "deviation between seeds would be seen again on the same images; the interval for "
            "other images says what a new sample from the same source could show.",
            *leaks_of(found.runs),
        ],
        charts=[],
        tables=[
            *(
                {"heading": name.capitalize(), "columns": ["", ""], "rows": _rows(name, s)}
                for name, s in found._each()
            ),
            {"heading": "Runs", "columns": ["", *found.spreads], "rows": rows},
        ],
    )
