"""How long a training is, as a number of steps that may be changed on the way.

The schedule follows the progress, a number from 0 to 1. A plan is a list of pieces: from this
step on, the training ends at that total. Within a piece progress grows by equal parts, and each
new piece continues from the progress of the last one, so that the schedule always ends at the end.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Pieces (first step, total steps), rising in their first step.

    Example:
        >>> plan = Plan.of(10).changed(5, 15)
        >>> plan.progress(5), plan.progress(10), plan.progress(15)
        (0.5, 0.75, 1.0)
    """

    pieces: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, steps: int) -> "Plan":
        """A plan of so many steps; of none, where nothing is left to learn by steps."""
        return cls(((0, steps),))

    @classmethod
    def from_json(cls, pieces: list[list[int]]) -> "Plan":
        return cls(tuple((first, total) for first, total in pieces))

    def to_json(self) -> list[list[int]]:
        return [list(piece) for piece in self.pieces]

    @property
    def total(self) -> int:
        """Steps of the whole training, as planned now."""
        return self.pieces[-1][1]

    def changed(self, step: int, total: int) -> "Plan":
        """Change the plan from `step` on to end at `total`; at least one more step."""
        kept = tuple(piece for piece in self.pieces if piece[0] < step)
        return Plan((*kept, (step, max(total, step + 1))))

    def progress(self, step: int) -> float:
        """Share of the training done before this step, 0 to 1."""
        reached = 0.0
        for i, (first, total) in enumerate(self.pieces):
            last = self.pieces[i + 1][0] if i + 1 < len(self.pieces) else total
            if step <= last:
                share = max(0, step - first) / max(1, total - first)
                return min(1.0, reached + (1 - reached) * share)
            reached += (1 - reached) * (last - first) / (total - first)
        return 1.0

    def crossed(self, step: int, parts: int) -> bool:
        """Whether the step just done is the first at or beyond a multiple of 1/parts."""
        if step >= self.total:
            return True
        here = math.floor(self.progress(step) * parts + 1e-9)
        before = math.floor(self.progress(step - 1) * parts + 1e-9)
        return here > before
