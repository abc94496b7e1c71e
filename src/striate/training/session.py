"""One session of a training: from a fresh start or the newest checkpoint to its end or a stop.

The command line, Python and the estimators all train through `run`.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from striate.config import RunConfig
from striate.data.dataset import Dataset
from striate.data.source import Progress
from striate.errors import RunError
from striate.evaluation.metric import Scores
from striate.execution import accelerated
from striate.run_folder import RunFolder
from striate.training.assemble import Parts
from striate.training.budget import Clock, first_plan, head_seconds, most_steps, time_budget
from striate.training.checkpoint import CheckpointStore
from striate.training.events import Event, EventLog, read_events
from striate.training.feature_store import FeatureStore
from striate.training.head import held_out_in_words, solve_head
from striate.training.interrupt import Interrupt
from striate.training.loop import Training
from striate.training.plan import Plan
from striate.training.views import num_views

Pruner = Callable[[Event], str | None]
"""Receives each event of a training; a reason that it returns ends the training, unfinished."""


@dataclass(frozen=True)
class Result:
    """The end of a session."""

    scores: Scores | None
    """Scores of the validation split; None where the training was stopped before its end."""
    steps: int
    """Steps done, over all sessions."""


def run(
    config: RunConfig,
    data: Dataset,
    parts: Parts,
    folder: RunFolder,
    *,
    clock: Clock,
    finish: float,
    progress: Progress | None = None,
    listeners: tuple[Callable[[Event], None], ...] = (),
    pruner: Pruner | None = None,
    interrupt: Interrupt | None = None,
    resumed: bool = False,
) -> Result:
    """Train from the newest checkpoint, or from the start, to the end or to a stop.

    Args:
        config: Configuration of the training.
        data: Data to train on.
        parts: Parts of the training, fresh.
        folder: Folder of the log and the checkpoints.
        clock: Clock of the run's time.
        finish: Seconds that the caller needs after the last prediction.
        progress: Receives how far the features of a last layer that is solved are.
        listeners: Functions that receive each event.
        pruner: May end the training; None: nobody does.
        interrupt: Asks for a stop; None: nobody does.
        resumed: Whether an earlier session began this training.

    Raises:
        RunError: there is no checkpoint yet, and the published weights to start from are gone.
        DivergenceError, CheckpointError: see `Training.run`.
    """
    stop = interrupt or Interrupt()
    if pruner is not None:
        listeners = (*listeners, _pruning(pruner, stop))
    store = CheckpointStore(folder.checkpoints)
    with EventLog(folder.events, listeners) as log, ExitStack() as running:
        running.callback(parts.loader.close)
        running.enter_context(parts.execution.arithmetic())
        for network in parts.networks.values():
            running.enter_context(accelerated(network, parts.execution))
        training = Training(config, data, parts, Plan.of(1), store, log, clock)
        training.most_steps = most_steps(config, parts)
        training.budget = time_budget(config, data, parts, clock, finish)
        if config.training.flow:
            from striate.training.watch import Watch  # a third of a second that few need

            training.watch = Watch(parts, data.train, folder)
        if store.is_empty:
            if parts.lacks_weights and config.pretrained is not None:
                raise RunError(
                    f"This run has no checkpoint yet, and {config.pretrained.file}, which it "
                    "starts from, is gone or has changed. Put it back, or train anew."
                )
            if resumed:
                log.rewind(0, "resumed")
            if config.pretrained is not None and config.pretrained.head == "solved":
                in_turn = config.data.validation == "in turn"  # few images, which all are needed
                seconds = None if in_turn else head_seconds(config, clock, finish)
                passes = len(data.validation) * num_views(config.prediction)
                passes = passes if config.pretrained.freeze == 1 else 0
                kept = None if config.training.minutes is None else FeatureStore(config)
                solved = solve_head(parts, data.train, seconds, passes, progress, kept)
                # Some hundred megabytes that only a validation in turn needs again.
                training.features = solved.features if in_turn else None
                held_out = "" if in_turn else held_out_in_words(parts, solved)
                log.write("head", step=0, text=solved.how + held_out)
            training.plan = first_plan(training.most_steps, training.budget)
            log.write("start", step=0, hash=config.hash, steps=training.plan.total)
            log.write("execution", step=0, text=parts.execution.summary())
        else:
            _resume(training, folder)
        return Result(training.run(stop), training.step)


def _pruning(pruner: Pruner, interrupt: Interrupt) -> Callable[[Event], None]:
    def ask(event: Event) -> None:
        interrupt.reason = interrupt.reason or pruner(event)

    return ask


def _resume(training: Training, folder: RunFolder) -> None:
    """Go to the newest checkpoint, and take note of re-plans that were logged after it."""
    lost = read_events(folder.events)
    state = training.restore()
    training.clock.used = state["seconds"]
    moments = [event for event in lost if event["event"] == "flow"]
    if training.watch is not None and moments:
        training.watch.follow(moments[0])
    training.log.rewind(state["log_offset"], "resumed", step=training.step)
    training.follow([event for event in lost if event.get("step", 0) >= training.step])
