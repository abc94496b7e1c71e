"""The conditions of a training, from which a task prefers settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from striate.registry import Pick


@dataclass(frozen=True)
class Conditions:
    """The set, the time and the speed of a training, before anything is decoded."""

    num_images: int
    """Images of the training split."""
    num_outputs: int
    """Classes that the source names, or 1."""
    heights: tuple[int, int, int]
    """Smallest, median and largest height of the images, pixels."""
    widths: tuple[int, int, int]
    """Smallest, median and largest width of the images, pixels."""
    seconds: float
    """Seconds of the whole training; infinite where steps or epochs alone end it."""
    settings: Mapping[str, Any]
    """Settings of a person, nested; they win whatever a task prefers."""
    speed: Callable[[Pick, Pick, int, tuple[int, int]], float] | None = None
    """Training images a second on this machine, of a network, an optimiser, the images of a batch,
    and the height and width that the network learns from; None: nothing can be measured."""

    @property
    def is_one_size(self) -> bool:
        """Whether all images have the same height and width."""
        return self.heights[0] == self.heights[2] and self.widths[0] == self.widths[2]
