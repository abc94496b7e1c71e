"""Learning-rate schedules: functions of the training's progress in [0, 1].

A schedule gives the factor that multiplies each group's base learning rate. Progress is the
share of the plan that is done (steps over steps, or seconds over seconds for a time budget),
so that one schedule serves any length of training and ends with it.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from striate.errors import ConfigError


def constant(progress: float, *, warmup: float = 0.0) -> float:
    """The factor 1 throughout, after an optional linear warm-up.

    Args:
        progress: Share of the training that is done, in [0, 1].
        warmup: Share of the training in which the factor rises from near 0 to 1.
    """
    return _warm_up(progress, warmup, lambda rest: 1.0)


def linear(progress: float, *, warmup: float = 0.0, end: float = 0.0) -> float:
    """The factor on a straight line from 1 to `end`.

    Args:
        progress: Share of the training that is done, in [0, 1].
        warmup: Share of the training in which the factor rises from near 0 to 1.
        end: Factor at progress 1.
    """
    return polynomial(progress, power=1.0, warmup=warmup, end=end)


def polynomial(
    progress: float, *, power: float = 2.0, warmup: float = 0.0, end: float = 0.0
) -> float:
    """The factor falling from 1 to `end` as (1 − progress)^power.

    Args:
        progress: Share of the training that is done, in [0, 1].
        power: Exponent above 0; 1 is a straight line, larger falls sooner.
        warmup: Share of the training in which the factor rises from near 0 to 1.
        end: Factor at progress 1.
    """
    _at_least_zero(end=end, power=power)
    if power == 0:
        raise ConfigError(f"power={power} must be above 0.")
    return _warm_up(progress, warmup, lambda rest: end + (1 - end) * (1 - rest) ** power)


def cosine(progress: float, *, warmup: float = 0.0, end: float = 0.0) -> float:
    """The factor falling from 1 to `end` along half a cosine.

    Args:
        progress: Share of the training that is done, in [0, 1].
        warmup: Share of the training in which the factor rises from near 0 to 1.
        end: Factor at progress 1.

    Source: Loshchilov and Hutter, "SGDR", 2017, equation 5, without restarts.
    """
    _at_least_zero(end=end)
    return _warm_up(progress, warmup, lambda rest: _cosine(1.0, end, rest))


def cosine_restarts(
    progress: float, *, cycles: int = 3, warmup: float = 0.0, end: float = 0.0
) -> float:
    """The factor falling from 1 to `end` along half a cosine, again in each of equal cycles.

    Args:
        progress: Share of the training that is done, in [0, 1].
        cycles: Number of cycles, 1 or more.
        warmup: Share of the training in which the factor rises from near 0 to 1.
        end: Factor at the end of each cycle and at progress 1.

    Source: Loshchilov and Hutter, "SGDR", 2017, equation 5 with T_mult = 1.
    """
    _at_least_zero(end=end)
    if cycles < 1:
        raise ConfigError(f"cycles={cycles} must be 1 or more.")

    def restarting(rest: float) -> float:
        position = rest * cycles
        return _cosine(1.0, end, 1.0 if rest == 1 else position - math.floor(position))

    return _warm_up(progress, warmup, restarting)


def step(
    progress: float, *, at: Sequence[float] = (0.5, 0.75), factor: float = 0.1, warmup: float = 0.0
) -> float:
    """The factor 1, multiplied by `factor` at each of the points `at`.

    Args:
        progress: Share of the training that is done, in [0, 1].
        at: Progress at which the factor drops; each in [0, 1]. The defaults are those of the
            CIFAR residual networks.
        factor: Factor of each drop, 0 or more.
        warmup: Share of the training in which the factor rises from near 0 to 1; the points
            `at` stay where they are.

    Source: He et al., "Deep Residual Learning", 2016, section 4.2 (drops at 50 % and 75 %).
    """
    _in_unit_interval(progress=progress)
    _at_least_zero(factor=factor)
    outside = [point for point in at if not 0 <= point <= 1]
    if outside:
        raise ConfigError(f"at={list(at)}: each drop must lie in [0, 1]; {outside} do not.")
    dropped: float = factor ** sum(1 for point in at if progress >= point)
    return dropped * _warm_up(progress, warmup, lambda rest: 1.0)


def exponential(progress: float, *, warmup: float = 0.0, end: float = 0.01) -> float:
    """The factor falling from 1 to `end` by the same ratio in equal times.

    Args:
        progress: Share of the training that is done, in [0, 1].
        warmup: Share of the training in which the factor rises from near 0 to 1.
        end: Factor at progress 1, above 0.
    """
    _at_least_zero(end=end)
    if end == 0:
        raise ConfigError(f"end={end} must be above 0: an exponential never reaches it.")
    return _warm_up(progress, warmup, lambda rest: end**rest)


def inverse_sqrt(progress: float, *, warmup: float = 0.1) -> float:
    """The factor falling as √(warmup / progress) after the warm-up.

    Args:
        progress: Share of the training that is done, in [0, 1].
        warmup: Share of the training in which the factor rises from near 0 to 1; above 0.

    Source: Vaswani et al., "Attention Is All You Need", 2017, equation 3.
    """
    _in_unit_interval(warmup=warmup)
    if warmup == 0:
        raise ConfigError(f"warmup={warmup} must be above 0: the fall is measured against it.")
    return _warm_up(progress, warmup, lambda rest: math.sqrt(warmup / max(progress, warmup)))


def one_cycle(
    progress: float, *, peak: float = 0.3, start: float = 0.04, end: float = 0.0
) -> float:
    """The factor rising from `start` to 1 at `peak`, then falling to `end`, both along cosines.

    Args:
        progress: Share of the training that is done, in [0, 1].
        peak: Progress at which the factor is 1, in (0, 1).
        start: Factor at progress 0.
        end: Factor at progress 1.

    Source: Smith and Topin, "Super-Convergence", 2018; cosines, peak and start (1/25) as in
    torch.optim.lr_scheduler.OneCycleLR.
    """
    _in_unit_interval(progress=progress, peak=peak)
    _at_least_zero(start=start, end=end)
    if peak in (0, 1):
        raise ConfigError(f"peak={peak} must lie between 0 and 1.")
    if progress < peak:
        return _cosine(start, 1.0, progress / peak)
    return _cosine(1.0, end, (progress - peak) / (1 - peak))


def warmup_stable_decay(
    progress: float, *, warmup: float = 0.1, decay: float = 0.3, end: float = 0.0
) -> float:
    """The factor rising to 1, staying there, then falling on a straight line to `end`.

    Args:
        progress: Share of the training that is done, in [0, 1].
        warmup: Share of the training in which the factor rises from near 0 to 1.
        decay: Share of the training in which it falls, at the end.
        end: Factor at progress 1.

    Source: Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training
    Durations", 2024, section 3.
    """
    _at_least_zero(end=end)
    _in_unit_interval(progress=progress, warmup=warmup, decay=decay)
    if warmup + decay > 1:
        raise ConfigError(f"warmup={warmup} and decay={decay} together must not exceed 1.")
    fallen = 0.0 if decay == 0 else max(0.0, (progress - (1 - decay)) / decay)
    falling = 1 + (end - 1) * fallen if progress < 1 else (end if decay > 0 else 1.0)
    return _warm_up(progress, warmup, lambda rest: falling)


WARMUP_START = 0.01
"""Factor at progress 0 of a warm-up: not 0, because a step of rate 0 is a step wasted."""


def _warm_up(progress: float, warmup: float, after: Callable[[float], float]) -> float:
    """A straight rise to 1 within `warmup`, then `after` of the progress within the rest."""
    _in_unit_interval(progress=progress, warmup=warmup)
    if warmup == 1:
        raise ConfigError("warmup=1.0 must be below 1: nothing would be left of the training.")
    if progress < warmup:
        return WARMUP_START + (1 - WARMUP_START) * progress / warmup
    return after((progress - warmup) / (1 - warmup))


def _cosine(begin: float, end: float, share: float) -> float:
    return end + (begin - end) * (1 + math.cos(math.pi * share)) / 2


def _in_unit_interval(**values: Any) -> None:
    for name, value in values.items():
        if not (isinstance(value, (int, float)) and 0 <= value <= 1):
            raise ConfigError(f"{name}={value!r} must be a number in [0, 1].")


def _at_least_zero(**values: Any) -> None:
    for name, value in values.items():
        if not (isinstance(value, (int, float)) and 0 <= value < math.inf):
            raise ConfigError(f"{name}={value!r} must be a finite number, 0 or more.")
