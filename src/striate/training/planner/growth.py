"""How the error falls with the images seen, as our own recorded trainings show it.

The table holds trainings of the planner's network at half to three times its width on known
sets, each with its own schedule to its end. For a new set the planner takes the recorded set that
resembles it most and the width that would end best after as many images as this machine can show in
the time. `benchmarks/growth.py` makes the table anew.
"""

import functools
import json
import math
from dataclasses import dataclass
from importlib import resources
from statistics import fmean

_SMALL_COST = 0.5
"""Cost of an image at 60 % of its sides, as a share of one at full size: 0.45 to 0.5."""
_AS_MANY = 1.25
_FLATTER = 0.5
"""The slope beyond the last recorded training, of that before it: curves of errors flatten."""


@dataclass(frozen=True)
class Growth:
    """Recorded errors of one set, by width."""

    name: str
    num_outputs: int
    num_images: int
    """Images of the training split."""
    side: int
    """Shorter side that the network saw, pixels."""
    points: dict[float, tuple[tuple[int, float], ...]]
    """For each factor of the widths: (images seen, validation error), rising in images; smaller
    images count as so many of full size as cost as much."""

    def distance(self, num_outputs: int, num_images: int, side: int) -> float:
        """Distance to another set: differences of logarithms, the number of images most."""
        return (
            abs(math.log(num_images / self.num_images))
            + 0.5 * abs(math.log(num_outputs / self.num_outputs))
            + 0.5 * abs(math.log(side / self.side))
        )

    def error(self, width: float, images: float) -> float:
        """The error to expect, 0 to 1, after a training that shows so many images.

        Between recorded trainings: straight lines in logarithms; beyond them half as steep, and
        never less than half of the best recorded error. Before the first of them it changes as
        the next narrower width's does, if that was recorded shorter, for curves are steep where
        they begin; else along the first line.

        Example:
            >>> growth = Growth("x", 10, 100, 8, {1.0: ((100, 0.4), (400, 0.2))})
            >>> round(growth.error(1.0, 200), 3)
            0.283
        """
        points = self.points[width]
        worst = 1 - 1 / self.num_outputs
        first, error = points[0]
        narrower = max((other for other in self.points if other < width), default=width)
        if images < first and self.points[narrower][0][0] < first:
            ratio = self.error(narrower, images) / self.error(narrower, first)
            return min(worst, error * ratio)
        if len(points) == 1:
            return error
        index = sum(images > seen for seen, _ in points[1:-1])
        (x0, y0), (x1, y1) = points[index], points[index + 1]
        slope = (math.log(y1) - math.log(y0)) / (math.log(x1) - math.log(x0))
        within, last = math.log(max(images, 1)), math.log(points[-1][0])
        within += (_FLATTER - 1) * max(0.0, within - last)
        value = math.exp(math.log(y0) + slope * (within - math.log(x0)))
        return min(worst, max(value, 0.5 * min(error for _, error in points)))


@functools.cache
def load() -> tuple[Growth, ...]:
    """The table that comes with the package."""
    text = resources.files("striate.training.planner").joinpath("growth.json").read_text("utf-8")
    table = json.loads(text)
    growths = []
    for name, facts in table["sets"].items():
        by_width: dict[float, list[tuple[int, float]]] = {}
        for row in table["rows"]:
            if row["set"] == name:
                whole = row["images"] * (1 - row.get("small_share", 0) * (1 - _SMALL_COST))
                by_width.setdefault(row["width"], []).append((round(whole), row["error"]))
        points = {width: _merged(sorted(rows)) for width, rows in by_width.items()}
        growths.append(Growth(name, **facts, points=points))
    return tuple(growths)


def _merged(rows: list[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """Trainings of about as many images as one point: their difference is random."""
    groups: list[list[tuple[int, float]]] = []
    for row in rows:
        if groups and row[0] <= _AS_MANY * groups[-1][0][0]:
            groups[-1].append(row)
        else:
            groups.append([row])
    return tuple(
        (round(fmean(images for images, _ in group)), fmean(error for _, error in group))
        for group in groups
    )


def most_similar(num_outputs: int, num_images: int, side: int) -> Growth:
    """The recorded set that resembles a set most."""
    return min(load(), key=lambda growth: growth.distance(num_outputs, num_images, side))
