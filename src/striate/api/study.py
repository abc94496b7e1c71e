"""Several ordinary runs in one folder that belong to one question: seeds, folds, a search.

study.json holds the request and the configuration that all runs share, so that the same command
continues after a kill: runs that have finished are kept, one that was stopped is resumed.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from striate import durable, locks
from striate.api.frame import same_images, training_images
from striate.api.headline import headline, headline_metric
from striate.api.request import Request
from striate.api.resolve import Resolved, resolve
from striate.api.run import Run
from striate.api.training import resume_run, train_resolved
from striate.config import RunConfig
from striate.data import Dataset, open_source
from striate.data.duplicate_check import leak_note
from striate.data.spelling import folder_name
from striate.drawing.table import text_table
from striate.errors import RunError
from striate.evaluation import Proportion
from striate.reading import read_json, reported_as
from striate.terminal import Reporter
from striate.training.planner import Decision
from striate.training.session import Pruner


@dataclass(frozen=True)
class Study:
    """The folder of a study and what its runs share."""

    path: Path
    resolved: Resolved
    beside: Mapping[str, Any] = field(default_factory=dict)
    """JSON values that were decided when the study began."""

    @property
    def title(self) -> str:
        return self.resolved.source.title


Complete = Callable[[Resolved, Reporter], tuple[RunConfig, Mapping[str, Any]]]
"""Decides the rest of a new study: the configuration that its runs share, and JSON values."""


@dataclass(frozen=True)
class StudyResult(ABC):
    """The result of a study, as far as it has come."""

    page_name: ClassVar[str] = "study.html"
    path: Path
    title: str
    runs: tuple[Run, ...]
    stopped_by: int | None
    """Number of the signal that stopped it; None where it ran to its end."""

    @property
    def page(self) -> Path:
        return self.path / self.page_name

    @property
    def metric(self) -> str:
        """Name of the headline metric of the runs' task."""
        return headline_metric(self.runs[0]).name

    @cached_property
    def is_share(self) -> bool:
        """Whether that metric is a share of items.

        Runs of a search may still be trained, by another process.
        """
        ended = (run for run in self.runs if run.folder.predictions.is_file())
        first = next(ended, None)
        return first is not None and isinstance(headline(first), Proportion)

    @property
    def leaks(self) -> list[str]:
        """A sentence about near duplicates of test images in other splits, if there are any."""
        data = self.runs[0].record["data"] if self.runs else {}
        leaks = data.get("leaks", {"num_test": 0})
        if not leaks["num_test"]:
            return []
        num_test = data["counts"]["test"]
        return [leak_note(leaks["num_test"], num_test, leaks["dropped"], leaks["published"])]

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""

    @abstractmethod
    def content(self) -> dict[str, Any]:
        """The content of the page: "title", "headline", "facts" (sentences), "tables" (each a
        heading, column names and rows) and "charts" (each a title and SVG).
        """

    def lines(self) -> list[str]:
        """The result as plain lines."""
        content = self.content()
        tables = [text_table([t["columns"], *t["rows"]], "<") for t in content["tables"]]
        return [*tables, content["headline"], *self.leaks]

    def write(self) -> None:
        """Write result.json and a page that loads nothing from elsewhere."""
        from striate.evaluation.report import environment

        durable.write_json(self.path / "result.json", self.to_json())
        content = {"charts": [], **self.content()}
        content["facts"] += self.leaks
        html = environment().get_template("study.html.j2").render(**content)
        durable.write_bytes(self.page, html.encode())


def check_images(config: RunConfig, resolved: Resolved, reporter: Reporter) -> Dataset:
    """Decode the images before a study begins, so that refused ones leave no folder.

    Raises:
        DataError, LeakError: As for any training.
    """
    try:
        return training_images(config, resolved.source, reporter)
    finally:
        reporter.close()


def open_study(
    kind: str,
    request: Request,
    out: Path | None,
    reporter: Reporter,
    complete: Complete | None = None,
    also: Mapping[str, Any] | None = None,
) -> Study:
    """Begin a study, or open the one that the same request began.

    Args:
        kind: Kind of the study: "seeds", "cv-5", "search".
        request: What to train.
        out: Folder of the study; None: one under runs/ whose name follows from the request.
        reporter: Receives what happens.
        complete: Decides the rest of a new study, and checks its images; None: the configuration
            is the resolved one.
        also: JSON values that belong to the request.

    Raises:
        ConfigError, DataError: As in `resolve`.
        RunError: The folder holds something else.
    """
    wanted = {"kind": kind, **request.to_json(), **(also or {})}
    if out is None:
        words = folder_name(Path(request.data).stem)
        digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
        out = Path("runs") / f"{words}-{kind}-{digest[:12]}"
    with locks.lock(out / ".study.lock", wait=True, taken=""):
        record = out / "study.json"
        if record.is_file():
            return _recorded(record, wanted, reporter)
        if any(path.name != ".study.lock" for path in out.iterdir()):
            raise RunError(f"{out} holds something else than this study; choose another --out.")
        resolved = resolve(request, reporter=reporter)
        beside: Mapping[str, Any] = {}
        if complete is None:
            check_images(resolved.config, resolved, reporter)
        else:
            config, beside = complete(resolved, reporter)
            resolved = resolved._replace(config=config)
        content = {
            "asked": wanted,
            "config": resolved.config.to_json(),
            "choices": [asdict(choice) for choice in resolved.choices],
        }
        durable.write_json(record, {**content, "beside": beside} if beside else content)
    reporter.choices(resolved.choices)
    return Study(out, resolved, beside)


def train_runs(
    study: Study, configs: Iterable[tuple[str, str, RunConfig]], reporter: Reporter
) -> tuple[list[Run], int | None]:
    """Train configurations one after the other, or keep their runs where they have finished.

    Args:
        study: Study that they belong to.
        configs: Folder name, announcement and configuration of each run.
        reporter: Receives what happens.

    Returns:
        The finished runs, and the number of the signal that stopped the next one, if one did.
    """
    runs: list[Run] = []
    for name, announcement, config in configs:
        reporter.say(announcement)
        run = train_run(study, name, config, reporter)
        if run.stopped_by is not None:
            return runs, run.stopped_by
        runs.append(run)
    return runs, None


def train_run(
    study: Study, name: str, config: RunConfig, reporter: Reporter, pruner: Pruner | None = None
) -> Run:
    """Train one run of a study; a finished one is kept, a stopped one resumed.

    Args:
        study: Study that it belongs to.
        name: Name of its folder.
        config: Configuration of the run.
        reporter: Receives what happens.
        pruner: May end it early; None: it runs to its end.
    """
    path = study.path / name
    with durable.explaining(then=""):  # the study's own command continues it
        if (path / "run.json").is_file():
            if Run(path).config.to_json() != config.to_json():
                raise RunError(f"{path} is another run than this study's; choose another --out.")
            return resume_run(path, reporter=reporter, pruner=pruner)
        resolved = Resolved(config, [], study.resolved.source)
        return train_resolved(resolved, out=path, reporter=reporter, pruner=pruner)


def with_seed(config: RunConfig, seed: int) -> RunConfig:
    """A training with another random seed, and all else equal."""
    return replace(config, training=replace(config.training, seed=seed))


def _recorded(record: Path, wanted: Mapping[str, Any], reporter: Reporter) -> Study:
    with reported_as(RunError, f"{record} cannot be read", "Choose another --out."):
        known = read_json(record)
        if known["asked"] != wanted:
            keys = {*known["asked"], *wanted}
            differing = sorted(key for key in keys if known["asked"].get(key) != wanted.get(key))
            raise RunError(
                f"{record.parent} is the study of another request ({', '.join(differing)}). "
                "Choose another --out, or repeat its own command to continue it."
            )
        config = RunConfig.from_json(known["config"])
        choices = [Decision(**choice) for choice in known["choices"]]
        beside = dict(known.get("beside", {}))
    data = config.data
    source = open_source(data.source, data.target_pattern, data.limit)
    resolved = Resolved(config, choices, source)
    first = next(iter(sorted(record.parent.glob("*/run.json"))), None)
    if first is not None:  # runs of one study must learn from, and seal, the same images
        run = Run(first.parent)
        try:
            same_images(run.folder, run.config, None, reporter)
        finally:
            reporter.close()
    return Study(record.parent, resolved, beside)
