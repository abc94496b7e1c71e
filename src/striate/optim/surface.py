"""Surfaces over the plane on which optimisers are raced, each with its difficulty."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from striate.errors import ConfigError


@dataclass(frozen=True)
class Surface:
    """A function of two numbers, where to begin, and the part of the plane to show.

    Args:
        name: Name for titles.
        function: Function of points (N, 2) to values (N,); each row depends on its point alone.
        start: First point of the race.
        bounds: Left, right, bottom, top of the picture.
        lowest: Value at the minimum, when it is known.
        minima: Positions of the minima, for the picture.
        difficulty: Difficulty that it shows, in a sentence.
    """

    name: str
    function: Callable[[Tensor], Tensor]
    start: tuple[float, float]
    bounds: tuple[float, float, float, float]
    lowest: float | None = None
    minima: tuple[tuple[float, float], ...] = ()
    difficulty: str = ""

    def __post_init__(self) -> None:
        left, right, bottom, top = self.bounds
        inside = left <= self.start[0] <= right and bottom <= self.start[1] <= top
        if not (left < right and bottom < top and inside):
            raise ConfigError(
                f"Surface {self.name!r}: bounds are (left, right, bottom, top) and must hold the "
                f"start; what came is bounds={self.bounds}, start={self.start}."
            )

    def values(self, points: Float[Tensor, "N 2"]) -> Float[Tensor, "N"]:
        """The function at each point.

        Raises:
            ConfigError: the function does not give one value per point.
        """
        result = self.function(points)
        if result.shape != points.shape[:1]:
            raise ConfigError(
                f"Surface {self.name!r}: for points of shape {tuple(points.shape)} the function "
                f"must give shape ({len(points)},); what came is {tuple(result.shape)}."
            )
        return result

    def grid(self, resolution: int = 120) -> Float[Tensor, "R R"]:
        """The values on an even grid over the bounds; rows from bottom to top."""
        left, right, bottom, top = self.bounds
        x = torch.linspace(left, right, resolution, dtype=torch.float64)
        y = torch.linspace(bottom, top, resolution, dtype=torch.float64)
        rows, columns = torch.meshgrid(y, x, indexing="ij")
        with torch.no_grad():
            values = self.values(torch.stack([columns.reshape(-1), rows.reshape(-1)], dim=1))
        return values.reshape(resolution, resolution)


def ravine(*, condition: float = 40.0) -> Surface:
    """A long narrow valley: steep across, nearly flat along.

    Args:
        condition: Curvature across divided by curvature along.

    Source: Rumelhart, Hinton and Williams, 1986, on ravines; a quadratic, turned by 20°.
    """
    cosine, sine = math.cos(math.radians(20)), math.sin(math.radians(20))

    def function(points: Tensor) -> Tensor:
        along = cosine * points[:, 0] + sine * points[:, 1]
        across = -sine * points[:, 0] + cosine * points[:, 1]
        return 0.5 * (along**2 + condition * across**2)

    difficulty = "A rate that suits the steep direction crawls along the flat one."
    return Surface(
        "ravine", function, (-3.2, 0.6), (-4.0, 2.0, -2.0, 2.0), 0.0, ((0.0, 0.0),), difficulty
    )


def saddle() -> Surface:
    """A saddle with a minimum on either side: ½x² − ½y² + ¼y⁴, begun almost on the ridge."""

    def function(points: Tensor) -> Tensor:
        x, y = points[:, 0], points[:, 1]
        return 0.5 * x**2 - 0.5 * y**2 + 0.25 * y**4

    difficulty = "On the ridge the gradient points at the saddle; the way down is sideways."
    return Surface(
        "saddle",
        function,
        (-1.6, 0.001),
        (-2.0, 1.2, -1.6, 1.6),
        -0.25,
        ((0.0, 1.0), (0.0, -1.0)),
        difficulty,
    )


def plateau() -> Surface:
    """A flat plain with a hole in it: 1 − exp(−(x² + y²)/2), begun where it is nearly flat."""

    def function(points: Tensor) -> Tensor:
        return 1 - torch.exp(-points.square().sum(1) / 2)

    difficulty = "The gradient is near zero at first: only a step that ignores its size gets on."
    return Surface(
        "plateau", function, (-2.6, 2.2), (-4.0, 2.0, -2.0, 3.5), 0.0, ((0.0, 0.0),), difficulty
    )


def rosenbrock(*, steepness: float = 100.0) -> Surface:
    """Rosenbrock's bent valley: (1 − x)² + b (y − x²)².

    Args:
        steepness: Factor b.

    Source: Rosenbrock, "An Automatic Method for Finding the Greatest or Least Value", 1960.
    """

    def function(points: Tensor) -> Tensor:
        x, y = points[:, 0], points[:, 1]
        return (1 - x) ** 2 + steepness * (y - x**2) ** 2

    difficulty = "The valley is reached at once; following its bend to the end is slow."
    return Surface(
        "rosenbrock", function, (-1.5, 2.0), (-2.0, 2.0, -1.0, 3.0), 0.0, ((1.0, 1.0),), difficulty
    )


def beale() -> Surface:
    """Beale's function: steep walls around a flat cross.

    Source: Beale, "On an Iterative Method for Finding a Local Minimum", 1958.
    """

    def function(points: Tensor) -> Tensor:
        x, y = points[:, 0], points[:, 1]
        return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2

    difficulty = "Gradients differ by thousands between the walls and the floor."
    return Surface(
        "beale", function, (0.8, 1.8), (-1.0, 4.5, -2.0, 2.4), 0.0, ((3.0, 0.5),), difficulty
    )


def himmelblau() -> Surface:
    """Himmelblau's function: four equal minima; which one is reached depends on the optimiser.

    Source: Himmelblau, "Applied Nonlinear Programming", 1972.
    """

    def function(points: Tensor) -> Tensor:
        x, y = points[:, 0], points[:, 1]
        return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2

    minima = ((3.0, 2.0), (-2.805118, 3.131312), (-3.779310, -3.283186), (3.584428, -1.848126))
    difficulty = "Four valleys meet near the start."
    return Surface(
        "himmelblau", function, (-0.4, -1.1), (-5.0, 5.0, -5.0, 5.0), 0.0, minima, difficulty
    )
