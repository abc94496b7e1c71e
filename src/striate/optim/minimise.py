"""Random search, local search and Newton's method, which gradient descent replaced.

For functions of a few numbers, side by side with descent: each returns the same `Search`, with
the lowest value after every evaluation, so that they can be laid over each other.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from striate.errors import ConfigError
from striate.randomness import generator

Function = Callable[[Tensor], Tensor]
"""A function of a vector (N,) whose value is a tensor of no axes."""


@dataclass(frozen=True)
class Search:
    """The end of a search, and the way there."""

    point: Tensor
    """The best point, (N,)."""
    value: float
    """The function there."""
    values: tuple[float, ...]
    """The lowest value after each evaluation (random, local) or step (Newton)."""
    gradient_norm: float
    """‖∇f‖ at the point."""
    stopped: str
    """"gradient" (‖∇f‖ < ε), "steps" (t = t_max), or "singular" (no Newton step exists)."""


def random_search(
    function: Function,
    low: Float[Tensor, "N"],
    high: Float[Tensor, "N"],
    *,
    num_trials: int = 1000,
    seed: int = 0,
) -> Search:
    """The best of points drawn evenly from a box.

    Args:
        function: Function of a vector (N,).
        low: Lower corner of the box.
        high: Upper corner of the box.
        num_trials: Number of points, each one evaluation.
        seed: Random seed of the points.

    Raises:
        ConfigError: an empty box or no trials.

    Example:
        >>> box = torch.tensor([3.0, 3.0])
        >>> search = random_search(lambda x: x.square().sum(), -box, box, num_trials=2000)
        >>> search.value < 0.1
        True
    """
    if bool((low >= high).any()) or num_trials < 1:
        raise ConfigError("Random search needs low < high on every axis, and 1 trial or more.")
    source = generator(seed, "random search")

    def draw(_: Tensor) -> Tensor:
        uniform = torch.rand(low.shape, generator=source, dtype=torch.float64).to(low)
        return low + (high - low) * uniform

    return _keep_the_best(function, draw(low), draw, num_trials)


def local_search(
    function: Function,
    start: Float[Tensor, "N"],
    *,
    radius: float = 0.1,
    num_trials: int = 1000,
    seed: int = 0,
) -> Search:
    """The end of a walk: a random step is kept when the function falls, else taken back.

    Args:
        function: Function of a vector (N,).
        start: First point.
        radius: Standard deviation of a step, per coordinate.
        num_trials: Number of points including the first, each one evaluation.
        seed: Random seed of the steps.

    Raises:
        ConfigError: a radius not above 0, or no trials.

    Example:
        >>> search = local_search(lambda x: x.square().sum(), torch.tensor([2.0, -1.0]))
        >>> search.value < 0.01
        True
    """
    if not radius > 0 or num_trials < 1:
        raise ConfigError("Local search needs a radius above 0, and 1 trial or more.")
    source = generator(seed, "local search")

    def draw(best: Tensor) -> Tensor:
        step = torch.randn(start.shape, generator=source, dtype=torch.float64).to(start)
        return best + radius * step

    return _keep_the_best(function, start, draw, num_trials)


def newton(
    function: Function,
    start: Float[Tensor, "N"],
    *,
    tolerance: float = 1e-8,
    max_steps: int = 100,
    saddle_free: bool = False,
) -> Search:
    """The end of Newton's method, θ ← θ − H⁻¹ ∇f: the nearest critical point, of any kind.

    Plain Newton is drawn to saddles and maxima as well, and may overshoot; `saddle_free` takes
    |H| (the absolute eigenvalues) for H and halves a step until the function falls, which leads
    to minima only. Each step solves with N×N numbers: small problems only.

    Args:
        function: Function of a vector (N,), twice differentiable.
        start: First point; float64 for the quadratic convergence to show.
        tolerance: Bound ε of the stop rule ‖∇f‖ < ε.
        max_steps: Largest number of steps t_max.
        saddle_free: Whether to go to minima only.

    Raises:
        ConfigError: a tolerance not above 0.

    Source: Newton, 1669; saddle-free: Dauphin et al., "Identifying and Attacking the Saddle
    Point Problem", 2014, algorithm 1.

    Example:
        >>> def rosenbrock(x: Tensor) -> Tensor:
        ...     return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
        >>> search = newton(rosenbrock, torch.tensor([-1.0, 2.0], dtype=torch.float64))
        >>> [round(c, 6) for c in search.point.tolist()], search.stopped
        ([1.0, 1.0], 'gradient')
    """
    if not tolerance > 0:
        raise ConfigError(f"tolerance={tolerance} must be above 0.")
    derivative = torch.func.grad(function)
    point, values, stopped = start.detach().clone(), [float(function(start))], "steps"
    gradient = derivative(point)
    for _ in range(max_steps):
        if float(gradient.norm()) < tolerance:
            break
        step = _newton_step(hessian(function, point), gradient, saddle_free)
        if step is None:
            stopped = "singular"
            break
        if saddle_free:
            step = _halved_until_lower(function, point, step, gradient)
        point = point + step
        values.append(float(function(point)))
        gradient = derivative(point)
    norm = float(gradient.norm())
    stopped = "gradient" if norm < tolerance else stopped
    return Search(point, values[-1], tuple(values), norm, stopped)


def hessian(function: Function, point: Float[Tensor, "N"]) -> Float[Tensor, "N N"]:
    """The matrix of second derivatives ∂²f/∂x_i∂x_j.

    Args:
        function: Function of a vector (N,), twice differentiable.
        point: Point, (N,).

    Example:
        >>> hessian(lambda x: x[0] ** 2 * x[1], torch.tensor([1.0, 2.0])).tolist()
        [[4.0, 2.0], [2.0, 0.0]]
    """
    matrix: Tensor = torch.autograd.functional.hessian(function, point)  # type: ignore[no-untyped-call]
    return matrix


def _newton_step(curvature: Tensor, gradient: Tensor, saddle_free: bool) -> Tensor | None:
    if saddle_free:
        eigenvalues, vectors = torch.linalg.eigh(curvature)
        # A flat direction has no length of its own; 1e-6 of the steepest curvature bounds it.
        floor = 1e-6 * eigenvalues.abs().max().clamp(min=1e-12)
        along: Tensor = (vectors.T @ gradient) / eigenvalues.abs().clamp(min=floor)
        uphill: Tensor = vectors @ along
        return -uphill
    step, info = torch.linalg.solve_ex(curvature, -gradient)
    return None if int(info) != 0 or not bool(step.isfinite().all()) else step


def _halved_until_lower(
    function: Function, point: Tensor, step: Tensor, gradient: Tensor
) -> Tensor:
    """The step, halved until f falls by at least 1e-4 of what its slope promises (Armijo)."""
    here, slope, share = float(function(point)), float(gradient @ step), 1.0
    while share > 1e-10 and float(function(point + share * step)) > here + 1e-4 * share * slope:
        share /= 2
    return share * step


def _keep_the_best(
    function: Function, first: Tensor, draw: Callable[[Tensor], Tensor], num_trials: int
) -> Search:
    best, lowest = first, float(function(first))
    values = [lowest]
    for _ in range(num_trials - 1):
        point = draw(best)
        value = float(function(point))
        if value < lowest or math.isnan(lowest):
            best, lowest = point, value
        values.append(lowest)
    norm = float(torch.func.grad(function)(best).norm())
    return Search(best, lowest, tuple(values), norm, "steps")
