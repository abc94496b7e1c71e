"""Train a network on images, and resume a training that was stopped."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from striate import durable, kernels
from striate.api import classical
from striate.api.frame import conclude, describe, same_images, training_images
from striate.api.request import Request
from striate.api.resolve import Resolved, resolve
from striate.api.run import Run, recorded_execution
from striate.config import RunConfig
from striate.data import Dataset
from striate.data.arrays import store_arrays
from striate.errors import StorageError, command_line
from striate.execution import Execution, keep_pages, lacks_memory
from striate.run_folder import RunFolder
from striate.terminal import Reporter
from striate.training import session
from striate.training.assemble import Parts, assemble
from striate.training.budget import Clock
from striate.training.events import Event, read_events
from striate.training.interrupt import Interrupt, interruptible
from striate.training.loop import averaged
from striate.training.session import Pruner

_FINISH_SECONDS = 0.6
"""Seconds for writing the weights and the report, and for the end of the process."""
_NUMBER_SECONDS = 1e-6
"""Seconds for each number of the validation predictions: they are calibrated and measured several
times (10,000 images of 1,000 classes take ten seconds)."""


def train(
    data: str | Path | tuple[Any, ...] | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    reporter: Reporter | None = None,
    started: float | None = None,
    **request: Any,
) -> Run:
    """Train a network on a folder, an archive, a named set or arrays, and return the run.

    Args:
        data: Path or name; or arrays (x, y), (x, y, x_test, y_test) or {"x": ..., "y": ...}, which
            are written into a file beside the run, where evaluate and resume find them.
        out: Folder of the run, which must be free; None: a new one under runs/.
        reporter: Receives what happens; None: nobody.
        started: `time.monotonic()` when the clock of `minutes` began; None: now.
        request: Any field of `Request`: network, pretrained, freeze, epochs, steps, minutes, seed,
            strict, leaks, limit, groups, settings, assignments.

    Returns:
        The run; `is_finished` is False when a signal stopped it.

    Raises:
        ConfigError, DataError, RunError, CheckpointError, DivergenceError.

    Example:
        >>> run = train("digits", minutes=0.5, seed=1)  # doctest: +SKIP
    """
    clock = Clock(started=time.monotonic() if started is None else started)
    reporter = reporter or Reporter()
    if not isinstance(data, (str, Path)):
        data = store_arrays(data, Path("runs") if out is None else Path(out).parent)
    resolved = resolve(Request(data, **request), reporter=reporter, clock=clock)
    run = train_resolved(resolved, out=out, reporter=reporter, clock=clock)
    _say_if_stopped(run, reporter)
    return run


def train_resolved(
    resolved: Resolved,
    *,
    out: str | Path | None = None,
    reporter: Reporter | None = None,
    clock: Clock | None = None,
    pruner: Pruner | None = None,
) -> Run:
    """Train what was resolved; see `train`.

    Args:
        resolved: Configuration, reasons and source.
        out: Folder of the run, which must be free; None: a new one under runs/.
        reporter: Receives what happens; None: nobody.
        clock: Clock of the run; None: one that starts now.
        pruner: May end the training early; None: it runs to its end.
    """
    config, choices, source = resolved
    reporter = reporter or Reporter()
    clock = clock or Clock(started=time.monotonic())
    folder = RunFolder.free(Path(out) if out is not None else None, source.title, config)
    keep_pages()
    try:
        with folder.claimed(), _resumable(folder, reporter):
            # Before the plan is shown: a set that leaks is refused first.
            dataset = training_images(config, source, reporter)
            reporter.choices(choices)
            if classical.is_classical(config.network.name):
                return classical.fit(
                    folder, config, dataset, reporter, choices=choices, began=clock.started
                )
            parts = assemble(config, dataset)
            record = describe(
                config,
                choices,
                dataset,
                normalise=parts.model.normalise,
                num_parameters=sum(p.numel() for p in parts.networks.parameters()),
                execution=parts.execution,
                facts=parts.task.facts,
            )
            folder.create(record)
            return _run(folder, config, dataset, parts, clock, reporter, pruner, fresh=True)
    finally:
        reporter.close()


def resume(
    run: str | Path,
    *,
    data: str | Path | None = None,
    reporter: Reporter | None = None,
    started: float | None = None,
) -> Run:
    """Resume a run that was stopped or killed, to the end it would have had.

    Args:
        run: Folder of the run.
        data: Path of its images, if they were moved.
        reporter: Receives what happens; None: nobody.
        started: `time.monotonic()` when the clock of `minutes` began; None: now.

    Raises:
        RunError: no run, or its data have changed or are gone.
    """
    reporter = reporter or Reporter()
    resumed = resume_run(run, data=data, reporter=reporter, started=started)
    _say_if_stopped(resumed, reporter)
    return resumed


def resume_run(
    run: str | Path,
    *,
    data: str | Path | None = None,
    reporter: Reporter,
    started: float | None = None,
    pruner: Pruner | None = None,
) -> Run:
    """Resume a run, as one of several: `resume`, where a pruner may end it."""
    folder = RunFolder.existing(Path(run))
    record = folder.record()
    for note in folder.notes:
        reporter.say(note)
    if folder.is_complete:
        reporter.say(f"{folder.path} has finished already.")
        return Run(folder.path)
    for problem in folder.problems:
        reporter.say(problem)
    config = RunConfig.from_json(record["config"])
    keep_pages()
    try:
        with folder.locked(), _resumable(folder, reporter):
            dataset = same_images(folder, config, data, reporter)
            if classical.is_classical(config.network.name):
                return classical.fit(folder, config, dataset, reporter)
            execution = Execution.recorded(config.execution, recorded_execution(record))
            parts = assemble(config, dataset, execution, record.get("facts", {}))
            clock = Clock(started=time.monotonic() if started is None else started)
            return _run(folder, config, dataset, parts, clock, reporter, pruner, fresh=False)
    finally:
        reporter.close()


@contextmanager
def _resumable(folder: RunFolder, reporter: Reporter) -> Iterator[None]:
    """Add the command that continues a run, once it has a record, to what ends it from outside.

    That is an error of the disk, a lack of memory, or Ctrl-C a second time.
    """
    try:
        with durable.explaining():
            yield
    except (StorageError, KeyboardInterrupt, MemoryError, RuntimeError, ImportError) as error:
        if (folder.path / "run.json").is_file():
            command = _resume_command(folder)
            if isinstance(error, StorageError):
                error.then = f"continue with: {command}"
            elif isinstance(error, KeyboardInterrupt):  # the command line ends without a word
                reporter.say(
                    f"Stopped at once; what was saved before is safe. Continue with: {command}"
                )
            elif lacks_memory(error):
                error.add_note(f"What was saved before is safe. Continue with: {command}")
        raise


def _resume_command(folder: RunFolder) -> str:
    return command_line("resume", folder.path)


def _say_if_stopped(run: Run, reporter: Reporter) -> None:
    if run.stopped_by is not None:
        last = read_events(run.folder.events)[-1]
        reporter.say(
            f"Stopped by {last['signal']} at step {last['step']:,}; everything is saved. "
            f"Continue with: {_resume_command(run.folder)}"
        )


def _run(
    folder: RunFolder,
    config: RunConfig,
    data: Dataset,
    parts: Parts,
    clock: Clock,
    reporter: Reporter,
    pruner: Pruner | None,
    *,
    fresh: bool,
) -> Run:
    interrupt = Interrupt()
    listeners: list[Callable[[Event], None]] = [reporter.event]
    if config.training.tensorboard:
        from striate.training.tensorboard import TensorBoard

        listeners.append(TensorBoard(folder.path / "tensorboard").event)
    kernels.say_on_bus_error(
        f"Error The cached images of {folder.path} were cut while they were read, or their disk "
        f"failed. What was saved before is safe. The images are decoded anew by: "
        f"{_resume_command(folder)}\n"
    )
    numbers = len(data.validation) * parts.data.num_outputs
    with interruptible(interrupt):
        result = session.run(
            config,
            data,
            parts,
            folder,
            clock=clock,
            finish=_FINISH_SECONDS + _NUMBER_SECONDS * numbers,
            progress=reporter.progress,
            listeners=tuple(listeners),
            pruner=pruner,
            interrupt=interrupt,
            resumed=not fresh,
        )
    if result.scores is None:
        return Run(folder.path, stopped_by=interrupt.signal_number)
    with averaged(parts):
        folder.write_tensors(folder.weights, parts.whole.state_dict())
    rows: Any = result.scores.rows
    conclude(folder, data, rows, parts.task, parts.data)
    minutes = config.training.minutes
    if minutes is not None and clock.seconds() > 1.05 * 60 * minutes + 1:
        reporter.say(
            f"This took {clock.seconds():.0f} s where {60 * minutes:.0f} s were set: set-up "
            f"and {result.steps:,} step(s) need more time than that on this machine now."
        )
    return Run(folder.path)
