"""A race: every optimiser from the same start on the same surface, each at its best rate."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from striate.drawing.table import text_table
from striate.errors import ConfigError
from striate.optim.schedule_free import evaluation_weights
from striate.optim.surface import Surface

Maker = Callable[..., Optimizer]
"""An optimiser's constructor: of (parameters, lr=…)."""

RATES = tuple(10 ** (exponent / 3) for exponent in range(-12, 4))
"""Rates tried: from 1e-4 to 10, three in each decade."""


@dataclass(frozen=True)
class Track:
    """The path of one optimiser."""

    optimiser: str
    rate: float
    """Learning rate of the run."""
    points: tuple[tuple[float, float], ...]
    """Points passed: the start, and the point after each step."""
    values: tuple[float, ...]
    """The surface's value there."""
    finished: bool
    """False: it left the finite numbers, and the points end there."""

    def steps_to(self, value: float) -> int | None:
        """The first step at which the surface's value is at most this; None: never."""
        return next((step for step, reached in enumerate(self.values) if reached <= value), None)


@dataclass(frozen=True)
class Race:
    """All tracks over one surface."""

    surface: Surface
    num_steps: int
    tracks: tuple[Track, ...]
    """Best first: by the lowest final value."""
    lowest: float
    """The surface's minimum where it is known, else the lowest value that any track met."""

    @property
    def goal(self) -> float:
        """The value that counts as reached: 1 % of the height between start and minimum left."""
        return self.lowest + 0.01 * self.height

    @property
    def height(self) -> float:
        """Height of the start above the lowest value; 1 where nothing is lower than it."""
        return (self.tracks[0].values[0] - self.lowest) or 1.0

    def heights(self, resolution: int) -> np.ndarray:
        """log₁₀ (value − minimum) on an even grid (R, R), with 0.1 % of the spread added."""
        values = self.surface.grid(resolution).numpy()
        base = min(self.lowest, float(values.min()))
        return np.log10(values - base + 1e-3 * (float(values.max()) - base))

    def rows(self) -> list[dict[str, float | int | str | None]]:
        """One line per optimiser: rate, values on the way, and the step at which it arrived."""
        marks = sorted({max(1, self.num_steps // 10), max(1, self.num_steps // 3), self.num_steps})
        rows: list[dict[str, float | int | str | None]] = []
        for track in self.tracks:
            values = dict(enumerate(track.values))
            reached = {f"step {mark}": values.get(mark, math.inf) for mark in marks}
            arrived = {"arrived": track.steps_to(self.goal)}
            rows.append({"optimiser": track.optimiser, "rate": track.rate, **reached, **arrived})
        return rows

    def text(self) -> str:
        """The table as aligned text."""
        rows = self.rows()
        head = list(rows[0])
        cells = [head] + [[_cell_text(row[name]) for name in head] for row in rows]
        return f"{self.surface.name}, {self.num_steps} steps\n{text_table(cells)}"


def run_race(
    surface: Surface,
    optimisers: Mapping[str, Maker],
    *,
    num_steps: int = 150,
    rates: Sequence[float] = RATES,
) -> Race:
    """The paths of all optimisers over a surface, each at the rate that serves it best.

    Each optimiser runs once with each rate. Its best is the one with the most digits won, taken
    over the whole race: the lowest mean of log₁₀ (value − minimum), a millionth of the height of
    the start counting as none left. Rates that lead out of the picture are passed over as long
    as another stays inside. All arithmetic is in float64, nothing is drawn at random.

    Args:
        surface: Surface of the race.
        optimisers: Constructors by name; each is called with a list of one tensor (2,) and lr.
        num_steps: Number of steps of each run.
        rates: Learning rates to try.

    Raises:
        ConfigError: nothing to run, or an optimiser without a rate that stays finite.

    Example:
        >>> from striate.optim.surface import ravine
        >>> race = run_race(ravine(), {"sgd": torch.optim.SGD}, num_steps=20, rates=[0.01, 0.04])
        >>> race.tracks[0].rate, len(race.tracks[0].points)
        (0.04, 21)
    """
    if not optimisers or not rates or num_steps < 1:
        raise ConfigError("A race needs an optimiser, a rate and a step, or more of them.")
    runners = [
        _Runner(name, rate, maker, surface.start)
        for name, maker in optimisers.items()
        for rate in rates
    ]
    for _ in range(num_steps):
        _step(surface, runners)
    _record_values(surface, runners)
    lowest = surface.lowest
    if lowest is None:
        lowest = min(v for runner in runners for v in runner.values if math.isfinite(v))
    best = []
    for name in optimisers:
        own = [runner for runner in runners if runner.name == name and runner.finished]
        if not own:
            raise ConfigError(
                f"Optimiser {name!r} left the finite numbers on surface {surface.name!r} at "
                f"every rate tried ({min(rates):g} … {max(rates):g}); give lower rates."
            )
        inside = [runner for runner in own if runner.stays_inside(surface.bounds)]
        best.append(min(inside or own, key=lambda runner: runner.cost(lowest)))
    tracks = [Track(r.name, r.rate, tuple(r.points), tuple(r.values), r.finished) for r in best]
    tracks.sort(key=lambda track: track.values[-1])
    return Race(surface, num_steps, tuple(tracks), lowest)


class _Runner:
    """One optimiser at one rate, and the points it has passed."""

    def __init__(self, name: str, rate: float, maker: Maker, start: tuple[float, float]) -> None:
        self.name, self.rate = name, rate
        self.point = torch.tensor(start, dtype=torch.float64, requires_grad=True)
        self.optimiser = maker([self.point], lr=rate)
        self.points = [start]
        self.values: list[float] = []
        self.finished = True

    def move(self, gradient: Tensor) -> None:
        self.point.grad = gradient.clone()
        self.optimiser.step()
        with evaluation_weights(self.optimiser):
            x, y = self.point.tolist()
        if math.isfinite(x) and math.isfinite(y) and max(abs(x), abs(y)) < FAR_AWAY:
            self.points.append((x, y))
        else:
            self.finished = False

    def stays_inside(self, bounds: tuple[float, float, float, float]) -> bool:
        left, right, bottom, top = bounds
        return all(left <= x <= right and bottom <= y <= top for x, y in self.points)

    def cost(self, lowest: float) -> float:
        floor = 1e-6 * (self.values[0] - lowest) or 1e-12
        return sum(math.log10(max(value - lowest, floor)) for value in self.values)


FAR_AWAY = 1e6
"""A point this far out is lost: the surfaces' powers of four would soon overflow."""


def _step(surface: Surface, runners: Sequence[_Runner]) -> None:
    """One step of all that still run; their gradients come from one call of the surface."""
    running = [runner for runner in runners if runner.finished]
    if not running:
        return
    points = torch.stack([runner.point.detach() for runner in running]).requires_grad_()
    (gradients,) = torch.autograd.grad(surface.values(points).sum(), points)
    for runner, gradient in zip(running, gradients, strict=True):
        runner.move(gradient)


@torch.no_grad()
def _record_values(surface: Surface, runners: Sequence[_Runner]) -> None:
    points = torch.tensor([p for runner in runners for p in runner.points], dtype=torch.float64)
    values = iter(surface.values(points).tolist())
    for runner in runners:
        runner.values = [next(values) for _ in runner.points]
        runner.finished = runner.finished and all(map(math.isfinite, runner.values))


def _cell_text(value: float | int | str | None) -> str:
    if value is None:
        return "never"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
