"""Races of optimisers, the learning-rate range test, and variances by initialisation."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from striate.api.frame import decoded_images
from striate.api.request import Request
from striate.api.resolve import resolve
from striate.data.batch import Batch
from striate.errors import ConfigError
from striate.execution import Execution
from striate.networks import NETWORKS
from striate.optim import INITIALISATIONS, OPTIMISERS, SURFACES
from striate.optim.page import draw_html
from striate.optim.picture import draw_gif, draw_png
from striate.optim.race import Maker, Race, run_race
from striate.optim.range_test import RangeTest, draw_range_test
from striate.optim.range_test import range_test as run_range_test
from striate.optim.surface import Surface
from striate.optim.variance import VarianceRow, compare_text, variance_table
from striate.randomness import generator, layer_randomness
from striate.registry import Pick
from striate.settings import named_pick, parse_groups
from striate.terminal import Reporter
from striate.training.assemble import Parts, assemble
from striate.training.fitting import NETWORK_ARGUMENTS, build_network

__all__ = ["compare_text", "race", "range_test", "variance"]


def race(
    surfaces: Sequence[str | Surface] = (),
    optimisers: Sequence[str] | Mapping[str, Maker] = (),
    *,
    num_steps: int = 150,
    png: Path | None = None,
    html: Path | None = None,
    gif: Path | None = None,
    reporter: Reporter | None = None,
) -> list[Race]:
    """Races of optimisers on surfaces, one per surface, drawn where a file is named.

    Named optimisers run with their defaults, but without weight decay, which would change the
    surface. Muon runs only where it is named: for a point in the plane, which is no matrix, it is
    AdamW.

    Args:
        surfaces: Names of `SURFACES`, or surfaces of one's own; none: all the named ones.
        optimisers: Names of `OPTIMISERS`, or constructors by name; none: all but Muon.
        num_steps: Number of steps of each run.
        png: File for a picture of all the races.
        html: File for a page of all the races; it works offline.
        gif: File for a moving picture of the first race.
        reporter: Receiver of the progress; None: nobody.

    Raises:
        ConfigError: names that do not exist, all together, or an optimiser that diverges at
            every rate.
    """
    reporter = reporter or Reporter()
    chosen = list(surfaces) or list(SURFACES)
    problems = [p for s in chosen if isinstance(s, str) for p in SURFACES.problems(Pick(s))]
    if not isinstance(optimisers, Mapping):
        names = optimisers or [name for name in OPTIMISERS if name != "muon"]
        problems += [p for n in names for p in OPTIMISERS.problems(Pick(n), ("params",))]
    if problems:
        raise ConfigError(problems)
    if not isinstance(optimisers, Mapping):
        without_decay = {n: Pick(n, weight_decay=0.0) for n in names}
        optimisers = {n: OPTIMISERS.bind(p, ("params", "lr")) for n, p in without_decay.items()}
    races = []
    for i, surface in enumerate(chosen):
        built = SURFACES.build(Pick(surface)) if isinstance(surface, str) else surface
        reporter.progress("races", i, len(chosen))
        races.append(run_race(built, optimisers, num_steps=num_steps))
    reporter.progress("races", len(chosen), len(chosen))
    if png is not None:
        draw_png(races, png)
    if html is not None:
        draw_html(races, html)
    if gif is not None:
        draw_gif(races[0], gif)
    return races


def range_test(
    data: str | Path,
    *,
    network: str | None = None,
    num_steps: int = 100,
    lowest: float = 1e-5,
    highest: float = 10.0,
    assignments: tuple[str, ...] = (),
    png: Path | None = None,
    reporter: Reporter | None = None,
) -> RangeTest:
    """The learning-rate range test of a training that `train` would begin with the same words.

    Only the training split is used.

    Args:
        data: Path or name of images.
        network: Name of `NETWORKS`; None: the planner's choice.
        num_steps: Number of steps of the test.
        lowest: First rate.
        highest: Last rate.
        assignments: Other settings as words: ("optimiser=adamw", "network.depth=20").
        png: File for a chart of the losses over the rates.
        reporter: Receiver of the progress; None: nobody.

    Raises:
        ConfigError, DataError.
    """
    reporter = reporter or Reporter()
    request = Request(data, network=network, assignments=assignments)
    config, _, source = resolve(request, speed=None, reporter=reporter)
    dataset = decoded_images(config, source, reporter)
    parts = assemble(config, dataset, Execution.of(config.execution))

    def batches() -> Iterator[tuple[Batch, None]]:
        for step in range(num_steps):
            reporter.progress("range test", step, num_steps)
            yield parts.loader.batch(step), None

    try:
        test = run_range_test(
            _Losses(parts),
            lambda loss, _: loss,
            batches(),
            optimiser=lambda params, lr: OPTIMISERS.build(config.optimiser.replace(lr=lr), params),
            lowest=lowest,
            highest=highest,
            num_steps=num_steps,
        )
    finally:
        parts.loader.close()
        reporter.progress("range test", num_steps, num_steps)
    if png is not None:
        draw_range_test(test, png)
    return test


class _Losses(nn.Module):
    """The networks of a training as one module that maps a batch to the task's loss."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.networks, self._task = parts.networks, parts.task

    def forward(self, batch: Batch) -> Tensor:
        return self._task.losses(self.networks, batch, self._task.phases[0])["loss"]


def variance(
    network: str,
    *,
    initialisations: Sequence[str] = (),
    assignments: tuple[str, ...] = (),
    input_size: int = 32,
    channels: int = 3,
    num_classes: int = 10,
    batch_size: int = 32,
    seed: int = 0,
) -> dict[str, list[VarianceRow]]:
    """Variances layer by layer for each initialisation, "own" being the network's own.

    The inputs are noise of mean 0 and variance 1, as normalised images are.

    Args:
        network: Name of `NETWORKS`.
        initialisations: Names of `INITIALISATIONS`; none: all of them.
        assignments: Arguments of the network as words: ("network.depth=20",).
        input_size: Height and width, pixels.
        channels: Number of channels of the input.
        num_classes: Number of classes K.
        batch_size: Number of items B.
        seed: Random seed of weights and noise.

    Raises:
        ConfigError: names that do not exist, all together.
    """
    names = initialisations or list(INITIALISATIONS)
    pick = named_pick("network", network, parse_groups(assignments, ("network",)))
    problems = NETWORKS.problems(pick, NETWORK_ARGUMENTS)
    for name in names:
        problems += INITIALISATIONS.problems(Pick(name), ("network", "batch"))
    if problems:
        raise ConfigError(problems)
    shape = (batch_size, channels, input_size, input_size)
    batch = torch.randn(shape, generator=generator(seed, "variance", "inputs"))
    tables = {}
    for name in ("own", *names):
        with layer_randomness(seed, "initialise"):
            built = build_network(pick, num_classes, channels, (input_size, input_size))
        if name != "own":
            INITIALISATIONS.build(Pick(name, seed=seed), built, batch=batch)
        elif hasattr(built, "initialise_from"):
            built.initialise_from(batch)  # type: ignore[operator]
        tables[name] = variance_table(built, batch, seed=seed)
    return tables
