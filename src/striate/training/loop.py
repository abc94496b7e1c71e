"""The training loop: batch, loss, gradient, step; with validation, checkpoints and a way back.

Everything with state is written to a checkpoint and read back bit for bit: weights, optimisers,
average of weights, plan, rate, position in the data (from which all randomness follows), the sums
of the log, the time used.
"""

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from striate.config import PredictionConfig, RunConfig
from striate.data.dataset import Dataset
from striate.errors import DivergenceError
from striate.evaluation.interval import Proportion
from striate.evaluation.metric import Columns, Scores, estimate
from striate.evaluation.text import format_metric
from striate.losses import chance_warning
from striate.training.assemble import Parts
from striate.training.budget import Budget, Clock
from striate.training.checkpoint import CheckpointStore, flatten, unflatten
from striate.training.events import Event, EventLog
from striate.training.features import Features
from striate.training.head import validated_in_turn
from striate.training.inference import evaluate
from striate.training.interrupt import Interrupt
from striate.training.plan import Plan
from striate.training.step import Outcome, learn
from striate.training.views import num_views

if TYPE_CHECKING:
    from striate.training.watch import Watch

_LOG_PARTS = 400  # step events in a run: fine enough for a curve, small enough to read
_QUICK_VALIDATION = 2_000  # images of a validation on the way; the last one takes all
_RATE_AFTER_DIVERGENCE = 0.1
_WORTH_A_CHANGE = 0.02  # of the steps left: the clock is not known better


@dataclass
class Training:
    """One training, from any step to its end."""

    config: RunConfig
    data: Dataset
    parts: Parts
    plan: Plan
    store: CheckpointStore
    log: EventLog
    clock: Clock
    budget: Budget | None = None
    most_steps: int = sys.maxsize
    """Largest number of steps: of the steps or epochs that are set beside the minutes."""
    step: int = 0
    rate: float = 1.0
    recorded: dict[int, int] = field(default_factory=dict)
    """Totals by step of re-plans that an earlier session wrote after its last checkpoint."""
    recorded_until: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    last_log: tuple[float, int] | None = None
    watch: "Watch | None" = None
    """Writes how the network changes, where that was asked for."""
    features: Features | None = None
    """Features of the training split, where this session has them for a validation in turn."""

    def run(self, interrupt: Interrupt) -> Scores | None:
        """Train to the end of the plan and return the scores of the validation split.

        Returns None when stopped before; the state is saved in either case.

        Raises:
            DivergenceError: the loss left the finite numbers twice.
            CheckpointError: the disk is full.
        """
        self.parts.networks.train()
        if self.step == 0:
            self._save()
            self._note_moment()
        if self.budget is not None:
            self.budget.begin(self.step, self.plan.progress(self.step))
        while self.step < self.plan.total:
            if interrupt.wanted:
                self._save(stopping=True)
                self.log.write("stopped", step=self.step, signal=interrupt.name)
                return None
            self.advance()
            if self.step < self.plan.total:
                self._pause()
        self._save()
        scores = self.validate(quick=False)
        self._note_moment()
        for text in self._doubts(scores):
            self.log.write("warning", step=self.step, text=text)
        self.log.write("finished", step=self.step, seconds=round(self.clock.seconds(), 3))
        return scores

    def _doubts(self, scores: Scores) -> Iterator[str]:
        """Sentences about a training that was too short, or ended where no training is needed."""
        shown = self.step * self.parts.loader.batch_size / len(self.data.train)
        if self.budget is not None and shown < 1:
            yield (
                f"The time was enough to show {shown:.0%} of the training images once: more "
                "minutes, or a machine with less other work, will end better."
            )
        metric, rows = scores.metrics[0], scores.rows
        constant = self.parts.task.best_constant(rows) if isinstance(rows, Columns) else None
        if constant is None or not math.isfinite(scores.headline):
            return
        better = (
            scores.headline < constant if metric.lower_is_better else scores.headline > constant
        )
        if not better:
            share = isinstance(estimate(metric, rows), Proportion)
            yield (
                f"Validation {metric.name} {format_metric(scores.headline, share)} is no better "
                f"than that of one prediction for all images, {format_metric(constant, share)}."
            )

    def advance(self) -> None:
        """One step forward, or back to the last checkpoint when its loss is not finite."""
        training = self.config.training
        decay = None
        if training.ema_half_life is not None:
            decay = 0.5 ** (1 / max(1.0, training.ema_half_life * self.plan.total))
        outcome = learn(
            self.parts,
            next(self.parts.loader),
            step=self.step,
            progress=self.plan.progress(self.step),
            training=training,
            rate=self.rate,
            average_decay=decay,
        )
        if self.step == 0:
            chance_level = self.parts.task.chance_level(self.parts.data)
            if (warning := chance_warning(outcome.main_loss, chance_level)) is not None:
                self.log.write("warning", step=0, text=warning)
        if not outcome.is_finite:
            self._go_back(outcome)
            return
        self.step += 1
        self._record(outcome)

    def _record(self, outcome: Outcome) -> None:
        self.loss_sum, self.loss_count = self.loss_sum + outcome.loss, self.loss_count + 1
        if not self.plan.crossed(self.step, _LOG_PARTS):
            return
        now = self.clock.seconds()
        since, step = self.last_log or (now, self.step)
        speed = (self.step - step) * self.parts.loader.batch_size / max(now - since, 1e-9)
        self.log.write(
            "step",
            step=self.step,
            of=self.plan.total,
            loss=self.loss_sum / self.loss_count,
            lr=self.parts.lr,
            gradient_norm=outcome.gradient_norm,
            **{f"{phase} loss": loss for phase, loss in list(outcome.losses.items())[1:]},
            images_per_second=round(speed, 1),
            seconds=round(now, 3),
            **self._seconds_left(now),
        )
        self.loss_sum, self.loss_count, self.last_log = 0.0, 0, (now, self.step)

    def _note_moment(self) -> None:
        if self.watch is not None:
            self.log.write("flow", step=self.step, **self.watch.moment(self.step))

    def _seconds_left(self, now: float) -> dict[str, float]:
        """Seconds until the clock ends the training, where it does."""
        if self.budget is None:
            return {}
        return {"seconds_left": round(self.budget.seconds - now, 1)}

    def _pause(self) -> None:
        """Do what is due between two steps: validation, checkpoint, replanning by the clock."""
        training = self.config.training
        began = self.clock.seconds()
        if self.plan.crossed(self.step, training.validations):
            self.validate(quick=True)
            self._note_moment()
        saved = self.plan.crossed(self.step, training.checkpoints)
        if saved:
            self._save()
        if self.budget is not None:
            self.budget.paused(self.clock.seconds() - began, again=saved)
        if self.budget is not None and self.plan.crossed(self.step, 2 * training.checkpoints):
            self._replan(self.budget)
        if self.clock.seconds() - began > 0.05 and self.last_log is not None:
            # A pause is not training: leave it out of the images per second.
            pause = self.clock.seconds() - began
            self.last_log = (self.last_log[0] + pause, self.last_log[1])

    def _replan(self, budget: Budget) -> None:
        """Change the number of steps if the clock asks for it; each change is an event."""
        progress = self.plan.progress(self.step)
        if self.step <= self.recorded_until:
            total = self.recorded.get(self.step, self.plan.total)
        else:
            pauses = (1 - progress) * self.config.training.checkpoints
            total = self.step + max(1, budget.steps_left(self.step, progress, pauses))
            total = min(total, self.most_steps)
            if abs(total - self.plan.total) < _WORTH_A_CHANGE * (self.plan.total - self.step):
                total = self.plan.total
        budget.begin(self.step, progress)
        self._change_plan(total)

    def _change_plan(self, total: int) -> None:
        if total != self.plan.total:
            self.plan = self.plan.changed(self.step, total)
            self.log.write(
                "plan", step=self.step, steps=self.plan.total, seconds=round(self.clock.seconds())
            )

    def follow(self, events: Sequence[Event]) -> None:
        """Re-plan as the events say that were logged after the checkpoint, whatever the clock says.

        The first of them may belong to the checkpoint's own step, which was saved before it.
        """
        self.recorded = {e["step"]: e["steps"] for e in events if e["event"] == "plan"}
        self.recorded_until = max((e.get("step", 0) for e in events), default=0)
        self._change_plan(self.recorded.get(self.step, self.plan.total))

    def validate(self, *, quick: bool) -> Scores:
        """Scores of the validation split (or of a part of it), and an event."""
        split = self.data.validation
        prediction = PredictionConfig() if quick else self.config.prediction
        index = None
        if quick and len(split) > _QUICK_VALIDATION:
            index = np.linspace(0, len(split) - 1, _QUICK_VALIDATION).astype(np.int64)
        began = self.clock.seconds()
        model = replace(self.parts.model, prediction=prediction)
        with averaged(self.parts):
            if self.config.data.validation == "in turn":
                scores = validated_in_turn(self.parts, split, self.features)
            else:
                scores = evaluate(model, split, self.parts.data, index=index)
        num_items = len(scores.rows)
        if self.budget is not None:
            seconds = self.clock.seconds() - began
            self.budget.validated(num_items * num_views(prediction), seconds)
        headline, *others = scores.metrics
        interval = estimate(headline, scores.rows)
        self.log.write(
            "validation",
            step=self.step,
            progress=round(self.plan.progress(self.step), 6),
            metric=headline.name,
            is_share=isinstance(interval, Proportion),
            **{headline.name: _number(interval.value)},
            low=_number(interval.low),
            high=_number(interval.high),
            **{metric.name: _number(metric.value(scores.rows)) for metric in others},
            num_items=num_items,
            views=num_views(prediction),
            seconds=round(self.clock.seconds(), 3),
        )
        return scores

    def _save(self, *, stopping: bool = False) -> None:
        tensors: dict[str, Tensor] = {}
        state = {
            "step": self.step,
            "rate": self.rate,
            "plan": self.plan.to_json(),
            "seconds": self.clock.seconds(),
            "loss_sum": self.loss_sum,
            "loss_count": self.loss_count,
            "log_offset": self.log.offset(),
            "loader": self.parts.loader.state_dict() | {"position": self.step},
        }
        stateful = {name: part.state_dict() for name, part in self._stateful().items()}
        state["parts"] = flatten("", stateful, tensors)
        self.store.write(self.step, tensors, state, stopping=stopping)

    def _stateful(self) -> dict[str, Any]:
        """All parts whose state is saved: networks, the optimiser of each phase, the average."""
        first, *others = self.parts.optimisers.items()
        parts: dict[str, Any] = {"network": self.parts.whole, "optimiser": first[1]}
        parts |= {f"optimiser of {phase}": optimiser for phase, optimiser in others}
        if self.parts.average is not None:
            parts["average"] = self.parts.average
        return parts

    def restore(self, *, scheduled_only: bool = False) -> dict[str, Any]:
        """Go to the newest checkpoint; its state comes back for the log's rewind.

        Raises:
            CheckpointError: there is none.
        """
        tensors, state, notes = self.store.read_newest(scheduled_only=scheduled_only)
        for note in notes:
            self.log.write("warning", step=state["step"], text=note)
        stateful = unflatten(state["parts"], tensors)
        for name, part in self._stateful().items():
            part.load_state_dict(stateful[name])
        self.parts.loader.load_state_dict(state["loader"])
        self.plan = Plan.from_json(state["plan"])
        self.step, self.rate = state["step"], state["rate"]
        self.loss_sum, self.loss_count = state["loss_sum"], state["loss_count"]
        self.last_log = None
        return state

    def _go_back(self, outcome: Outcome) -> None:
        """After a value that is not finite: once more from the last checkpoint, slower."""
        step, lr = self.step, self.parts.lr
        diagnosis = (
            f"At step {step} the loss became {outcome.loss:.4g}, the norm of its gradient "
            f"{outcome.gradient_norm:.4g} (learning rate {lr:.3g})"
        )
        if self.rate < 1:
            raise DivergenceError(
                f"{diagnosis}, a second time, at a tenth of the rate. The weights of the last "
                "good checkpoint are kept. Usual reasons: a learning rate that is too high (try "
                "--set optimiser.lr at a tenth), no normalisation in a deep network, a loss that "
                "takes the logarithm of 0, images that hold no finite values."
            )
        state = self.restore(scheduled_only=True)
        self.rate = _RATE_AFTER_DIVERGENCE
        self.log.rewind(
            state["log_offset"],
            "diverged",
            step=step,
            to_step=self.step,
            text=f"{diagnosis}. Going on from step {self.step} at a tenth of the rate.",
        )
        self._save()


def _number(value: float | None) -> float | None:
    """A number that JSON has: None for one that is undefined."""
    return None if value is None or not math.isfinite(value) else value


@contextmanager
def averaged(parts: Parts) -> Iterator[None]:
    """The networks with the weights by which they predict: the averaged ones, if there are any.

    An optimiser that trains at other weights than it predicts with (schedule-free) switches too.
    """
    with ExitStack() as stack:
        for optimiser in parts.optimisers.values():
            if hasattr(optimiser, "eval") and hasattr(optimiser, "train"):
                optimiser.eval()
                stack.callback(optimiser.train)
        if parts.average is not None and not parts.average.is_empty:
            stack.enter_context(parts.average.inside(parts.whole))
        yield
