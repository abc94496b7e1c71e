"""Several ordinary runs in one folder that answer one question together.

study.json holds what was asked and the configuration that all runs share, so that the same
command goes on after a kill: runs that have finished are kept, one that was stopped is resumed.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from striate import durable
from striate.api.request import Request
from striate.api.resolve import Resolved, resolve
from striate.api.run import Run
from striate.api.training import go_on, train_resolved
from striate.config import DataConfig, RunConfig
from striate.data import open_source, prepare, refuse_leaks
from striate.data.duplicate_check import leak_note
from striate.errors import RunError
from striate.run_folder import RunFolder
from striate.terminal import Reporter
from striate.training.planner import Choice
from striate.training.session import Pruner

__all__ = ["Study", "leaks_of", "look", "member", "open_study", "with_seed", "write_page"]


@dataclass(frozen=True)
class Study:
    """The folder of a study and what its runs share."""

    path: Path
    resolved: Resolved
    beside: Mapping[str, Any] = field(default_factory=dict)
    """JSON values that were decided when it began."""


Complete = Callable[[Resolved], tuple[Resolved, Mapping[str, Any]]]
"""What else a new study decides: the configuration that is shared, and JSON values beside it."""


def open_study(
    kind: str,
    request: Request,
    out: Path | None,
    reporter: Reporter,
    *,
    also: Mapping[str, Any] | None = None,
    complete: Complete | None = None,
) -> Study:
    """The study that was asked for: a new one, or the one that the same words began.

    Args:
        kind: "seeds", "cv" or "search".
        request: What to train.
        out: its folder; None: one under runs/ that follows from what is asked.
        reporter: is told what happens.
        also: what else was asked, as JSON values.
        complete: decides the rest of a new study; None: there is none.

    Raises:
        ConfigError, DataError: as `resolve`.
        RunError: the folder holds something else.
    """
    asked = {"kind": kind, **request.to_json(), **(also or {})}
    canonical = json.dumps(asked, sort_keys=True)
    if out is None:
        words = re.sub(r"[^\w.-]+", "-", Path(request.data).stem).strip("-").lower()
        digits = hashlib.sha256(canonical.encode()).hexdigest()[:12]
        out = Path("runs") / f"{words}-{kind}-{digits}"
    with durable.lock(out / ".study.lock", wait=True, taken=""):
        record = out / "study.json"
        if record.is_file():
            return _recorded(record, asked, reporter)
        if any(path.name != ".study.lock" for path in out.iterdir()):
            raise RunError(f"{out} holds something else than this study; choose another --out.")
        resolved = resolve(request, reporter=reporter)
        beside: Mapping[str, Any] = {}
        if complete is not None:
            resolved, beside = complete(resolved)
        durable.write_json(
            record,
            {
                "asked": asked,
                "config": resolved.config.to_json(),
                "choices": [
                    {"what": c.what, "value": c.value, "why": c.why} for c in resolved.choices
                ],
                **({"beside": beside} if beside else {}),
            },
        )
    reporter.choices(resolved.choices)
    return Study(out, resolved, beside)


def member(
    study: Study,
    name: str,
    config: RunConfig,
    reporter: Reporter,
    pruner: Pruner | None = None,
) -> Run:
    """One run of a study: as it is when finished, resumed when stopped, else trained.

    Args:
        study: whose it is.
        name: of its folder.
        config: what it follows.
        reporter: is told what happens.
        pruner: May end it early; None: it runs to its end.
    """
    path = study.path / name
    if (path / "run.json").is_file():
        known = Run(path)
        if known.config.to_json() != config.to_json():
            raise RunError(f"{path} is another run than this study's; choose another --out.")
        return go_on(path, reporter=reporter, pruner=pruner)
    source = study.resolved.source
    return train_resolved(Resolved(config, [], source), out=path, reporter=reporter, pruner=pruner)


def look(config: DataConfig, resolved: Resolved, reporter: Reporter) -> None:
    """Decode the images before a study begins, so that what refuses them leaves no folder.

    Raises:
        DataError, LeakError: as for any training.
    """
    try:
        refuse_leaks(config, prepare(config, source=resolved.source, progress=reporter.progress))
    finally:
        reporter.close()


def leaks_of(runs: Sequence[Run]) -> list[str]:
    """A sentence on test images that have their like among the others, if there are any."""
    data = runs[0].record["data"] if runs else {}
    told = data.get("leaks", {"num_test": 0})
    if not told["num_test"]:
        return []
    num_test = data["counts"]["test"]
    return [leak_note(told["num_test"], num_test, told["dropped"], told["published"])]


def write_page(
    folder: Path, told: Mapping[str, Any], *, name: str = "study.html", **parts: Any
) -> Path:
    """Write a page that loads nothing from elsewhere, and result.json; the page's path.

    Args:
        folder: of the study.
        told: JSON values of the result.
        name: of the page.
        parts: "title", "headline", "facts" (sentences), "tables" (each a heading, column names
            and rows) and "charts" (each a title and SVG).
    """
    from striate.evaluation.report import environment

    durable.write_json(folder / "result.json", told)
    page = folder / name
    html = environment().get_template("study.html.j2").render(**parts)
    durable.write_bytes(page, html.encode())
    return page


def _recorded(record: Path, asked: Mapping[str, Any], reporter: Reporter) -> Study:
    known = json.loads(record.read_text("utf-8"))
    if known["asked"] != asked:
        differing = sorted(
            key for key in {*known["asked"], *asked} if known["asked"].get(key) != asked.get(key)
        )
        raise RunError(
            f"{record.parent} is a study that was asked otherwise ({', '.join(differing)}). Choose "
            "another --out, or repeat its own command to go on with it."
        )
    config = RunConfig.from_json(known["config"])
    choices = [Choice(**choice) for choice in known["choices"]]
    resolved = Resolved(config, choices, open_source(config.data.source))
    _refuse_other_images(record.parent, config, resolved, reporter)
    return Study(record.parent, resolved, known.get("beside", {}))


def _refuse_other_images(
    folder: Path, config: RunConfig, resolved: Resolved, reporter: Reporter
) -> None:
    """Runs of one study are compared: all must have learned from, and seal, the same images."""
    first = next(iter(sorted(folder.glob("*/run.json"))), None)
    if first is None:
        return
    known = RunFolder.existing(first.parent).record()["data"]
    try:
        found = prepare(config.data, source=resolved.source, progress=reporter.progress)
    finally:
        reporter.close()
    if (found.digest, found.test.digest) != (known["digest"], known["test_digest"]):
        raise RunError(
            f"The images of {found.source} have changed since {folder} began: its runs could not "
            "be compared with those to come. Restore them, or begin anew with another --out."
        )


def with_seed(config: RunConfig, seed: int) -> RunConfig:
    """A copy of a training's settings with another seed."""
    return replace(config, training=replace(config.training, seed=seed))
