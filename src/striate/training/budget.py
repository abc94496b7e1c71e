"""A number of minutes turned into a number of steps, by measuring.

The first estimate comes from a few steps on a copy of the network. While the training runs the
estimate is mended from the steps themselves, so that the schedule ends when the time does.
"""

import copy
import statistics
import time
from dataclasses import dataclass, field

import torch

from striate.training.assemble import Parts

__all__ = ["Budget", "Clock", "measure_step"]

_NEWS = 0.3
"""Weight of the newest stretch in the speed that is expected."""


@dataclass
class Clock:
    """Seconds that a run has used, over all its sessions.

    Args:
        used: seconds of earlier sessions.
        started: `time.monotonic()` at the start of this one.
    """

    used: float = 0.0
    started: float = field(default_factory=time.monotonic)

    def seconds(self) -> float:
        return self.used + time.monotonic() - self.started


def measure_step(parts: Parts, repeats: int = 4) -> float:
    """Median seconds of a training step, on a copy that is thrown away."""
    network = copy.deepcopy(parts.network).train()
    trainable = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(trainable, lr=0.0, momentum=0.9)
    times = []
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        for step in range(repeats + 1):
            begin = time.perf_counter()
            batch = parts.loader.batch(step)
            with parts.execution.autocast():
                loss = parts.task.losses(network, batch.images, batch.target)["loss"]
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            float(loss.detach())  # waits for the device
            times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])  # the first one pays for setting up


@dataclass
class Budget:
    """Seconds to spend, and what steps and pauses have cost so far.

    Args:
        seconds: the whole budget, from the start of the command to its end.
        clock: of the run.
        closing: seconds kept for what follows the last step (report, saving).
    """

    seconds: float
    clock: Clock
    closing: float
    step_seconds: float = 0.0
    pause_seconds: float = 0.0
    _since: tuple[float, int, float] = (0.0, 0, 0.0)

    def begin(self, step: int) -> None:
        """Start a stretch of steps to be measured."""
        self._since = (self.clock.seconds(), step, 0.0)

    def paused(self, seconds: float) -> None:
        """Take note of time spent between steps (validation, checkpoint)."""
        self.pause_seconds = max(seconds, 0.5 * self.pause_seconds)
        began, step, pauses = self._since
        self._since = (began, step, pauses + seconds)

    def steps_left(self, step: int, pauses_left: float) -> int:
        """Steps that still fit, when so many pauses are to come.

        Recent stretches count more than old ones, but none alone: a machine that is shared has
        slow moments that do not last.
        """
        began, first, pauses = self._since
        if step > first:
            stretch = (self.clock.seconds() - began - pauses) / (step - first)
            known = self.step_seconds or stretch
            self.step_seconds = known + _NEWS * (stretch - known)
        left = self.seconds - self.clock.seconds() - self.closing
        return int((left - pauses_left * self.pause_seconds) / max(self.step_seconds, 1e-6))
