"""The gradient check: every tensor's gradient against differences of the function itself.

A small tensor is checked element by element. A large one is checked whole by a few projections
(the derivative along a direction that is half random, half its own gradient: the random half
sees any error with probability one, the other half lifts the slope above the rounding), and at
a few elements. Where a projection fails, the tensor is halved again and again towards the error,
so that a wrong element is named after log2(n) steps.

Where many bends meet in one point (zero biases under black pixels, equal maxima), the gradient that
autograd gives need not be one of the function's slopes, though every layer is right. So a gradient
that seems wrong is checked again at points close by, where the bends lie apart.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from striate.calculus.probe import Line, Probe, measure_noise, probe
from striate.calculus.report import GradientReport, TensorCheck, Verdict
from striate.errors import ConfigError
from striate.randomness import generator


def check_function(
    value: Callable[[], Tensor],
    tensors: Mapping[str, Tensor],
    *,
    elements: int = 4,
    projections: int = 2,
    exhaustive: int = 12,
    seed: int = 0,
    conditions: tuple[str, ...] = (),
) -> GradientReport:
    """Check autograd's gradient of a scalar function against differences, tensor by tensor.

    Args:
        value: Computes the function, a tensor of one element, from the tensors below. It must
            give the same number each time.
        tensors: float64 leaves that `value` reads, by name; changed during the check and put back.
        elements: Number of single elements to check in a large tensor; 0 leaves it to the
            projections, which is quickest.
        projections: Number of projections to check in a large tensor; 1 or more.
        exhaustive: Largest number of elements at which a tensor is checked at every one.
        seed: Random seed of directions and elements.
        conditions: Sentences for the report.

    Raises:
        ConfigError: tensors that are not float64, or a function that is not a single finite
            number or not the same number twice.

    Example:
        >>> w = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64, requires_grad=True)
        >>> check_function(lambda: (w**3).sum(), {"w": w}).verdict
        'The gradients of all 1 tensors are right.'
    """
    started = time.perf_counter()
    check = _Check(value, tensors, elements, projections, exhaustive, seed)
    checks = tuple(check.verdict_of(name) for name in tensors)
    seconds = time.perf_counter() - started
    return GradientReport(checks, check.centre, check.evaluations, seconds, conditions)


@dataclass
class _Check:
    function: Callable[[], Tensor]
    tensors: Mapping[str, Tensor]
    elements: int
    projections: int
    exhaustive: int
    seed: int
    evaluations: int = 0

    def __post_init__(self) -> None:
        wrong = [name for name, tensor in self.tensors.items() if tensor.dtype != torch.float64]
        if wrong:
            raise ConfigError(f"A gradient check needs float64; these are not: {', '.join(wrong)}.")
        if self.projections < 1 or self.elements < 0 or self.exhaustive < 0:
            raise ConfigError(
                f"projections={self.projections} must be 1 or more, elements={self.elements} and "
                f"exhaustive={self.exhaustive} 0 or more."
            )
        self.gradients, self.centre = self._differentiate()
        if self.value() != self.centre:
            raise ConfigError(
                "The function gives another number each time, so that differences mean nothing. "
                "Let it draw from torch's default generator only, or fix what changes."
            )
        self.noise = self._noise()

    def value(self) -> float:
        self.evaluations += 1
        with torch.no_grad():
            return float(self.function())

    def _differentiate(self) -> tuple[dict[str, Tensor | None], float]:
        wanted = [name for name, tensor in self.tensors.items() if tensor.requires_grad]
        self.evaluations += 1
        value = self.function()
        if value.numel() != 1 or not bool(torch.isfinite(value.detach()).all()):
            raise ConfigError(
                "A gradient check needs a function that gives one finite number; what came is "
                f"{value.detach().tolist() if value.numel() < 5 else tuple(value.shape)}."
            )
        gradients: dict[str, Tensor | None] = dict.fromkeys(self.tensors)
        if wanted and value.requires_grad:
            leaves = [self.tensors[name] for name in wanted]
            parts = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
            gradients.update(zip(wanted, parts, strict=True))
        return gradients, float(value.detach())

    def _noise(self) -> float:
        """σ of the function: all tensors moved together by 0 to 6 times 2⁻⁴⁴ of their size."""
        directions = {
            name: tensor.detach().abs() * self._random(tensor, "noise", name).sign()
            for name, tensor in self.tensors.items()
        }
        before = {name: tensor.detach().clone() for name, tensor in self.tensors.items()}
        values = []
        with torch.no_grad():
            for k in range(7):
                for name, tensor in self.tensors.items():
                    tensor.copy_(before[name] + k * 2.0**-44 * directions[name])
                values.append(self.value())
            for name, tensor in self.tensors.items():
                tensor.copy_(before[name])
        return measure_noise(torch.tensor(values, dtype=torch.float64))

    def _random(self, tensor: Tensor, *stream: str | int) -> Tensor:
        source = generator(self.seed, "gradient check", *stream)
        return torch.randn(tensor.shape, generator=source, dtype=torch.float64).to(tensor.device)

    def along(self, name: str, direction: Tensor, size: float) -> Probe:
        """The probe of one tensor's gradient along a direction."""
        tensor, gradient = self.tensors[name], self.gradients[name]
        before = tensor.detach().clone()

        def moved(distance: float) -> float:
            with torch.no_grad():
                tensor.copy_(before + distance * direction)
                value = self.value()
                tensor.copy_(before)
            return value

        slope = 0.0 if gradient is None else float((gradient * direction).sum())
        return probe(Line(moved, slope, size), centre=self.centre, noise=self.noise)

    def element(self, name: str, index: int) -> Probe:
        tensor = self.tensors[name].detach()
        direction = torch.zeros_like(tensor, memory_format=torch.contiguous_format)
        direction.view(-1)[index] = 1.0
        # One element moves the loss little: a step of 0.1's share lifts it above the noise.
        size = max(abs(float(tensor.reshape(-1)[index])), _rms(tensor), 0.1)
        return self.along(name, direction, size)

    def projection(self, name: str, number: int) -> Probe:
        tensor, gradient = self.tensors[name].detach(), self.gradients[name]
        direction = self._random(tensor, name, "projection", number)
        direction = direction / direction.norm()
        if gradient is not None and float(gradient.norm()) > 0:
            direction = direction + gradient / gradient.norm()
        return self.along(name, direction / direction.norm(), _size(tensor))

    def verdict_of(self, name: str) -> TensorCheck:
        """The verdict on one tensor, here or, where its gradient seems wrong, close by."""
        here = self.tensor(name)
        if here.verdict != "wrong":
            return here
        for number in range(_NUDGES):
            with self._nudged(number) as nudged:
                if nudged is None:
                    continue
                close_by = nudged.tensor(name)
                self.evaluations += nudged.evaluations
            if close_by.verdict not in ("wrong", "no gradient"):
                return replace(close_by, verdict="kink", note=_MANY_KINKS)
        return here

    @contextmanager
    def _nudged(self, number: int) -> "Iterator[_Check | None]":
        """The check with all tensors moved a little; None where the function has no value there."""
        before = {name: tensor.detach().clone() for name, tensor in self.tensors.items()}
        try:
            with torch.no_grad():
                for name, tensor in self.tensors.items():
                    away = max(_rms(tensor.detach()), 0.01) if tensor.numel() else 0.0
                    tensor.add_(_NUDGE * away * self._random(tensor, name, "nudge", number))
            try:
                nudged = replace(self, evaluations=0)
            except ConfigError:
                nudged = None
            yield nudged
        finally:
            with torch.no_grad():
                for name, tensor in self.tensors.items():
                    tensor.copy_(before[name])

    def tensor(self, name: str) -> TensorCheck:
        """The verdict on one tensor at this point."""
        tensor = self.tensors[name]
        shape = tuple(tensor.shape)
        if not tensor.requires_grad or not tensor.numel():
            return TensorCheck(name, shape, "zero" if tensor.requires_grad else "frozen")
        wholes = []
        if tensor.numel() > self.exhaustive:
            wholes = [self.projection(name, number) for number in range(self.projections)]
        probes = {index: self.element(name, index) for index in self._indices(name)}
        if any(p.verdict == "wrong" for p in wholes):
            located = self._locate(name)
            probes[located] = self.element(name, located)
        verdict, note = self._verdict(name, [*wholes, *probes.values()])
        projected = max((p.relative_error for p in wholes), default=None)
        if not probes:
            return TensorCheck(name, shape, verdict, projection_error=projected, note=note)
        worst = max(probes, key=lambda index: (_RANK[probes[index].verdict], probes[index].excess))
        index = torch.unravel_index(torch.tensor(worst), shape) if shape else ()
        return TensorCheck(
            name,
            shape,
            verdict,
            worst=tuple(int(i) for i in index),
            analytic=probes[worst].analytic,
            numeric=probes[worst].numeric,
            # Of two numbers that are rounding only, the ratio means nothing.
            relative_error=0.0 if verdict == "zero" else probes[worst].relative_error,
            projection_error=0.0 if verdict == "zero" and wholes else projected,
            note=note,
        )

    def _verdict(self, name: str, probes: list[Probe]) -> tuple[Verdict, str]:
        verdicts = {probe.verdict for probe in probes}
        gradient = self.gradients[name]
        if gradient is None:
            if verdicts == {"agrees"}:
                return "no gradient", "the loss does not depend on it: is it forgotten?"
            return "no gradient", "the loss depends on it: is it detached on the way?"
        if "wrong" in verdicts:
            return "wrong", ""
        if "kink" in verdicts:
            return "kink", ""
        # Moved by its own size, the tensor would change the loss by less than its rounding.
        if float(gradient.norm()) * _size(self.tensors[name].detach()) < 10 * self.noise:
            return "zero", ""
        return "agrees", ""

    def _indices(self, name: str) -> list[int]:
        """The elements to check: all, or the one with the largest gradient and random ones."""
        count = self.tensors[name].numel()
        if count <= self.exhaustive:
            return list(range(count))
        source = generator(self.seed, "gradient check", name, "elements")
        drawn = torch.randint(count, (self.elements,), generator=source).tolist()
        gradient = self.gradients[name]
        if gradient is not None and drawn:
            drawn[0] = int(gradient.abs().argmax())
        return sorted(set(drawn))

    def _locate(self, name: str) -> int:
        """An element with a wrong gradient: into the half that errs more, until one is left."""
        tensor = self.tensors[name].detach()
        signs = self._random(tensor, name, "halves").sign().reshape(-1)
        start, stop = 0, tensor.numel()
        while stop - start > 1:
            middle = (start + stop) // 2
            errors = []
            for half in (slice(start, middle), slice(middle, stop)):
                direction = torch.zeros_like(signs)
                direction[half] = signs[half]
                half_probe = self.along(name, direction.view(tensor.shape), max(_rms(tensor), 0.01))
                errors.append(abs(half_probe.analytic - half_probe.numeric))
            start, stop = (start, middle) if errors[0] >= errors[1] else (middle, stop)
        return start


_RANK = {"agrees": 0, "kink": 1, "wrong": 2}
_NUDGES = 3
"""Number of points close by at which a gradient that seems wrong is checked again."""
_NUDGE = 2.0**-5
"""Share of a tensor's size by which it is moved there: thousands of the steps of a probe, so that
few bends lie within one."""
_MANY_KINKS = "many bends meet here; a little beside, gradient and difference agree"


def _rms(tensor: Tensor) -> float:
    return float(tensor.norm()) / math.sqrt(tensor.numel())


def _size(tensor: Tensor) -> float:
    """The length of a tensor, or of one with elements of 0.01 where it is (nearly) zero."""
    return max(float(tensor.norm()), 0.01 * math.sqrt(tensor.numel()))
