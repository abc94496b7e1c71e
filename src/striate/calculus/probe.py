"""One question to a gradient: does its component along a direction equal the difference of f?

The verdict needs three scales. *Noise*: f is known to σ only, so a centred difference with step
h is known to about σ/h. *Truncation*: it errs by h²f‴/6. *Kinks*: where f bends within ±h
(ReLU, max, hinge) the difference mixes two slopes, and shrinking h past the bend heals it. A
wrong gradient is not healed: the differences agree with each other at every step, and not with it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

ProbeVerdict = Literal["agrees", "kink", "wrong"]

RELATIVE_TOLERANCE = 1e-6
"""Largest relative error that truncation may cause. With steps of 2⁻¹⁷ ≈ 8e-6 of a tensor's size
the truncation is about h² ≈ 6e-11 times f‴/f′, so f‴/f′ may reach 10⁴ (batch normalisation over a
handful of values does reach 10³) before a right gradient is doubted; a planted factor of 1.00001
is detected."""

FIRST_STEP = 2.0**-17
"""The first step as a share of the tensor's size: near the ∛ε = 6e-6 that balances truncation and
rounding in float64. A power of two, so that x + h loses nothing where x is round."""

SHRINK = 2.0**-4
STEPS = 4
"""Four steps, each a sixteenth of the one before: down to 2⁻²⁹ ≈ 2e-9 of the tensor's size."""

NOISE_MARGIN = 5.0
"""The difference of two values, divided by 2h, has standard deviation 0.71 σ/h: 5 σ/h is seven of
them, so that among 10⁶ probes no right gradient is called wrong at random."""


@dataclass(frozen=True)
class Probe:
    """The verdict on a gradient along one direction."""

    verdict: ProbeVerdict
    analytic: float
    numeric: float
    tolerance: float
    """Largest distance between the two that the deciding step allows."""

    @property
    def relative_error(self) -> float:
        """|analytic − numerical| / max(|analytic|, |numerical|); 0 when both are 0."""
        largest = max(abs(self.analytic), abs(self.numeric))
        return abs(self.analytic - self.numeric) / largest if largest else 0.0

    @property
    def excess(self) -> float:
        """The error as a multiple of what may be expected; above 1 something is wrong."""
        return abs(self.analytic - self.numeric) / self.tolerance


@dataclass(frozen=True)
class Line:
    """A scalar function f along a line: t ↦ f(x + t·direction)."""

    value: Callable[[float], float]
    slope: float
    """The slope that the gradient claims: ⟨gradient, direction⟩."""
    size: float
    """The length of a step that changes x by as much as x itself."""


def measure_noise(values: Float[Tensor, "N"]) -> float:
    """The standard deviation σ of the rounding in f, from f at evenly spaced, very near points.

    Third differences of a smooth function at such points vanish, what is left is noise.

    Args:
        values: Values of f at x, x + δ, x + 2δ, ...; seven or more are worth having.

    Source: Moré and Wild, Estimating Computational Noise, SIAM J. Sci. Comput. 33(3), 2011,
    equation 2.3 (with k = 3).

    Example:
        >>> round(measure_noise(torch.tensor([0.0, 1, 0, 0, 1, 1, 0], dtype=torch.float64)), 2)
        0.4
    """
    order = 3
    differences = torch.diff(values.double(), n=order)
    scale = math.factorial(order) ** 2 / math.factorial(2 * order)
    measured = math.sqrt(scale * float(differences.square().mean()))
    # A sum that happens to round the same way seven times still knows f to half a unit only.
    rounding = torch.finfo(torch.float64).eps * float(values.abs().max())
    return max(measured, rounding, torch.finfo(torch.float64).tiny)


def probe(line: Line, *, centre: float, noise: float) -> Probe:
    """Compare the slope that a gradient claims with the slope that differences measure.

    Args:
        line: Function along a line, with the claimed slope.
        centre: Value of f at t = 0.
        noise: Standard deviation σ of f, from `measure_noise`.

    Example:
        >>> line = Line(lambda t: abs(t - 1e-6) + t, slope=0.0, size=1.0)  # a bend at 1e-6
        >>> probe(line, centre=1e-6, noise=1e-22).verdict
        'kink'
        >>> wrong = Line(lambda t: t * t + 3 * t, slope=2.9, size=1.0)
        >>> probe(wrong, centre=0.0, noise=1e-16).verdict
        'wrong'
    """
    step = FIRST_STEP * line.size
    first: tuple[float, float] | None = None
    for _ in range(STEPS):
        above, below = line.value(step), line.value(-step)
        numeric = (above - below) / (2 * step)
        blur = NOISE_MARGIN * noise / step
        tolerance = RELATIVE_TOLERANCE * max(abs(line.slope), abs(numeric)) + blur
        agrees = abs(numeric - line.slope) <= tolerance
        if first is None:
            first = (numeric, blur)
            if agrees:
                return Probe("agrees", line.slope, numeric, tolerance)
        elif agrees and abs(numeric - first[0]) > blur + first[1]:
            # The difference moved further than noise can move it, and onto the gradient.
            return Probe("kink", line.slope, numeric, tolerance)
        step *= SHRINK
    step /= SHRINK
    right, left = (above - centre) / step, (centre - below) / step
    bends = abs(right - left) > 2 * blur + RELATIVE_TOLERANCE * max(abs(right), abs(left))
    between = min(right, left) - tolerance <= line.slope <= max(right, left) + tolerance
    if bends and between:
        return Probe("kink", line.slope, numeric, tolerance)
    return Probe("wrong", line.slope, first[0] if first else numeric, tolerance)
