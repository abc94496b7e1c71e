"""Which network, how wide, in which batches: the best that this machine can train in the time."""

import math
import time
from dataclasses import dataclass
from typing import Any

from striate.execution import lacks_memory
from striate.registry import Pick
from striate.tasks import Conditions
from striate.training.planner import growth
from striate.training.planner.draft import Draft
from striate.training.planner.images import TINY_SIZE
from striate.training.planner.length import most_images
from striate.training.planner.optimiser import batch_size, optimiser

_LEAST_SECONDS = 40.0
"""Below this a training has no time for trying widths."""
_HASTE = 25.0
"""Below this a network of half the widths ends lower: it is shown more than twice the images."""
_START_AND_END = 6.0
"""Seconds of a training that are not steps, until they are measured."""
_IMAGES_A_SECOND = 1_500
"""A set with fewer for each second is shown more than a time or two."""
_EASY_BATCH = 64
"""Images a step of an easy set: of tiny images 32 cost nearly the time of 64."""
_EASY_ERROR = ("below 1%", "on characters as easy as those of scikit-learn's digits")
"""Value and reason; 0 to 2 of 359 test images are wrong, by seed (benchmarks/easy.py)."""
_SMALL = 40
"""Larger images leave no time for batches that large."""
_ALWAYS_TRIED = 2.0
"""Times the usual widths up to which every recorded width is tried."""
_TRYING = 0.1
"""Share of the time after which no further width is tried: the machine is slow, or busy."""
_WORTH_A_CHANGE = 0.98
"""A width other than the usual one must promise this share of its error."""


@dataclass(frozen=True)
class Candidate:
    """A width with what it promises."""

    factor: float
    widths: tuple[int, ...]
    batch: int
    images_per_second: float
    images: float
    """Images shown in the time."""
    error: float
    """Validation error expected, 0 to 1, if the set is as hard as the recorded one."""


def is_hasty(conditions: Conditions, size: tuple[int, int]) -> bool:
    """Whether there is time for a few hundred steps only, and the images would bear many more."""
    many = conditions.num_images >= _IMAGES_A_SECOND * conditions.seconds
    return conditions.seconds < _HASTE and many and max(size) <= _SMALL


def decide_network(
    draft: Draft,
    conditions: Conditions,
    size: tuple[int, int],
    *,
    hasty: bool,
    easy: bool = False,
) -> None:
    """The network with its widths and its batch; where speed can be measured, the best of several.

    Args:
        draft: Draft of the plan.
        conditions: Facts of the set and of the training.
        size: Height and width that the network sees, pixels.
        hasty: Whether there is time for few steps only; see `is_hasty`.
        easy: Whether the set is learned in seconds; see `length.is_easy`.
    """
    usual = _widths(size, conditions.num_images)
    if easy:
        _decide(draft, usual, "wider ones end no lower on tiny characters, and are not measured")
        _decide_batch(draft, _EASY_BATCH)
        draft.note("expected error", *_EASY_ERROR)
        return
    batch = draft.wanted("training.batch_size")
    is_timed = conditions.speed is not None and conditions.seconds >= _LEAST_SECONDS
    if not is_timed or draft.wanted("network") is not None:
        why = "made for minutes of training; as many stages as the size bears"
        if hasty:
            usual = _scaled(usual, 0.5)
            why = "half as wide as for a minute: so short a training needs more steps"
        _decide(draft, usual, why)
        _decide_batch(draft, batch or batch_size(conditions.num_images, size, hasty=hasty))
        return
    tried = candidates(usual, conditions, size, batch)
    chosen = _best(tried)
    speeds = ", ".join(f"{_shown(c.widths)} {c.images_per_second:,.0f}" for c in tried)
    _decide(draft, chosen.widths, f"least error expected; images/s here: {speeds}")
    _decide_batch(draft, chosen.batch)
    table = growth.most_similar(conditions.num_outputs, conditions.num_images, min(size))
    most = most_images(draft.settings, conditions.num_images, size, chosen.batch)
    images = min(chosen.images, most)
    ends = "" if images == chosen.images else f", the length ends at {images:,.0f}"
    draft.note(
        "expected error",
        f"about {table.error(chosen.factor, images):.0%}",
        f"a guess, for images as hard as those of {table.name}; "
        f"time to show {chosen.images:,.0f}{ends}",
    )


def _decide(draft: Draft, widths: tuple[int, ...], why: str) -> None:
    pick = {"name": "airbench", "widths": list(widths)}
    draft.decide("network", "network", pick, why, f"airbench {_shown(widths)}")


def _decide_batch(draft: Draft, batch: int) -> None:
    why = "enough steps an epoch, enough images a step"
    draft.decide("training.batch_size", "batch", batch, why)


def _shown(widths: tuple[int, ...]) -> str:
    return "-".join(map(str, widths))


def candidates(
    usual: tuple[int, ...], conditions: Conditions, size: tuple[int, int], batch: int | None = None
) -> list[Candidate]:
    """The recorded multiples of the usual widths: their speed here, the error they promise.

    The widest take seconds to try, and are tried only if they may end lowest.

    Args:
        usual: Usual widths.
        conditions: Facts of the set and of the training; its `speed` measures networks.
        size: Height and width that the network sees, pixels.
        batch: Images a step; None: what suits each width.
    """
    table = growth.most_similar(conditions.num_outputs, conditions.num_images, min(size))
    tried: list[Candidate] = []
    measure: Any = conditions.speed
    began = time.monotonic()
    for factor in sorted(table.points):
        if tried and time.monotonic() - began > _TRYING * conditions.seconds:
            break
        if factor > _ALWAYS_TRIED and not _may_win(tried, factor, table):
            break
        widths = _scaled(usual, factor)
        step = batch or batch_size(conditions.num_images, size, factor)
        descent = Pick.from_json(optimiser("airbench", step)[0])
        try:
            rate = measure(Pick("airbench", widths=list(widths)), descent, step, size)
        except (RuntimeError, MemoryError) as problem:
            if not tried or not lacks_memory(problem):
                raise
            break  # nor do wider ones fit
        images = rate * max(1.0, conditions.seconds - _START_AND_END)
        error = table.error(factor, images)
        tried.append(Candidate(factor, widths, step, rate, images, error))
    return tried


def _may_win(tried: list[Candidate], factor: float, table: growth.Growth) -> bool:
    """Whether a yet wider network may end lower, if its speed falls as it fell to the last."""
    if len(tried) < 2:
        return True
    narrower, last = tried[-2:]
    fall = math.log(last.images / narrower.images) / math.log(last.factor / narrower.factor)
    images = last.images * (factor / last.factor) ** fall
    return table.error(factor, images) < last.error


def _best(tried: list[Candidate]) -> Candidate:
    """The one with the least error; the usual width where others promise next to nothing more."""
    best = min(tried, key=lambda candidate: candidate.error)
    usual = next((c for c in tried if c.factor == 1.0), best)
    return best if best.error < _WORTH_A_CHANGE * usual.error else usual


def _scaled(widths: tuple[int, ...], factor: float) -> tuple[int, ...]:
    return tuple(max(16, 8 * round(factor * width / 8)) for width in widths)


def _widths(size: tuple[int, ...], num_images: int) -> tuple[int, ...]:
    """Stages until the map is about 3 pixels; narrow where it is large, wide where it is small."""
    side, stages = min(size) - 1, 0
    while side >= 6 or stages < 2:
        side, stages = side // 2, stages + 1
    stages = min(stages, 6)
    # The last two stages have 128 channels, each one before them a quarter of the next.
    widths = [max(16, 128 >> (2 * max(0, left - 1))) for left in reversed(range(stages))]
    if num_images < 500 or max(size) <= TINY_SIZE:
        widths = [max(16, width // 2) for width in widths]
    return tuple(widths)
