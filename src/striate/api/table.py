"""The table of a network: what each layer costs, sees and keeps, by name or of a run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate import durable
from striate.api.gradients import SHAPE, build_noise
from striate.api.run import Run, data_of
from striate.data.plain import input_batches
from striate.errors import ConfigError
from striate.randomness import some_of
from striate.seeing.dead import DeadUnits, dead_units
from striate.seeing.issue import Issue, issues
from striate.seeing.table import Table
from striate.seeing.table import table as table_of
from striate.seeing.table_page import table_page
from striate.seeing.table_text import comparison_text, table_csv, table_text
from striate.terminal import Reporter

__all__ = ["Described", "comparison_text", "table", "table_csv", "table_text"]

_IMAGES = 256
"""Validation images by which dead units of a run are known."""


@dataclass(frozen=True)
class Described:
    """A network's table, and what is to be mended in it."""

    title: str
    table: Table
    issues: tuple[Issue, ...]

    def text(self, depth: int = 0) -> str:
        """The table, its notes and its issues as lines."""
        return "\n".join([table_text(self.table, depth=depth), *self.issue_lines()])

    def issue_lines(self) -> list[str]:
        """Each issue in a line, with what helps."""
        return [
            f"{issue.layer or 'the network'}: {issue.problem} {issue.cure}" for issue in self.issues
        ]

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "title": self.title,
            **self.table.to_json(),
            "issues": [issue.to_json() for issue in self.issues],
        }

    def write_page(self, path: Path, other: "Described | None" = None) -> None:
        """Write it as an HTML page, perhaps with another network's below."""
        both = [self] if other is None else [self, other]
        html = table_page([(each.title, each.table, each.issue_lines()) for each in both])
        durable.write_bytes(path, html.encode())


def table(
    network: str | Path,
    *,
    shape: tuple[int, ...] | None = None,
    num_classes: int = 10,
    batch_size: int = 8,
    measure: bool = False,
    repeats: int = 15,
    seed: int = 0,
    assignments: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> Described:
    """Describe what each layer of a network costs and sees, counted and, if asked for, measured.

    Args:
        network: Name of a network, or the folder of a run.
        shape: Channels and sizes (C, *S) of an image; None: the run's, or 3,32,32.
        num_classes: Number of classes of a network by name.
        batch_size: Images in the batch, for memory and times.
        measure: Whether forward and backward passes are timed.
        repeats: Rounds that are timed.
        seed: Seed of weights and noise.
        assignments: Settings of a network by name, as words: "network.depth=20".
        reporter: Receives what happens; None: nobody.

    Raises:
        ConfigError: an unknown network or setting, or a shape that it cannot take.
        RunError: a run that has not ended.
    """
    reporter = reporter or Reporter()
    dead: tuple[DeadUnits, ...] = ()
    if (Path(network) / "run.json").is_file():
        if assignments:
            raise ConfigError("A run has its settings; --set is for a network by name.")
        run = Run(network)
        shape = shape or (run.config.data.channels, *run.config.data.input_size)
        built: nn.Module = run.network
        images = torch.zeros((batch_size, *shape))
        title = f"{run.config.network} of {run.path}"
        if shape == (run.config.data.channels, *run.config.data.input_size):
            dead = dead_units(built, _validation(run, reporter))
    else:
        built, images = build_noise(
            str(network), shape or SHAPE, num_classes, batch_size, seed, assignments
        )
        title = str(network)
    if not measure:  # shapes say all: nothing is computed
        built, images = built.to("meta"), images.to("meta")
    found = table_of(built, images, measure=measure, repeats=repeats)
    reporter.close()
    return Described(title, found, issues(found, dead=dead))


def _validation(run: Run, reporter: Reporter) -> Iterator[Tensor]:
    """Batches of some validation images, as the network takes them."""
    split = data_of(run.config, None, run.path, reporter, run.fields).validation
    some = split.part(some_of(len(split), _IMAGES, "table"))
    return input_batches(some.images, run.normalise)
