"""Synthetic batches in memory, the same numbers for every library."""

import numpy as np
from cases import CASES

__all__ = ["batches"]


def batches(name: str, *, channels_last: bool, batch: int | None = None, count: int = 3) -> list:
    """Pairs of float32 images and int64 targets, as a loader would hand them over."""
    case = CASES[name]
    draw = np.random.default_rng(0)
    size = (case.channels, case.side, case.side)
    made = []
    for _ in range(count):
        images = draw.standard_normal((batch or case.batch, *size), dtype=np.float32)
        shape = (len(images), *size[1:]) if case.per_pixel else (len(images),)
        target = draw.integers(0, case.classes, shape)
        if channels_last:
            images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        made.append((images, target))
    return made
