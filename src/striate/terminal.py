"""The display of a running command: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from striate.data.spelling import visible
from striate.errors import StriateError
from striate.training.events import Event
from striate.training.planner import Decision

_LINE_EVERY = 5.0  # seconds between plain lines


class Reporter:
    """The progress of an api function; this reporter shows nothing."""

    def say(self, text: str) -> None:
        """A sentence for the person."""

    def choices(self, rows: Sequence[Decision]) -> None:
        """Show the decisions, and why."""

    def progress(self, stage: str, done: int, total: int) -> None:
        """So much of a stage is done."""

    def event(self, event: Event) -> None:
        """An event of the training."""

    def close(self) -> None:
        """Nothing more will come."""


class Once(Reporter):
    """Passes everything on to another reporter, but no sentence twice: several runs share some."""

    def __init__(self, other: Reporter) -> None:
        self._other = other
        self._shown: set[str] = set()
        for name in ("choices", "progress", "event", "close"):
            setattr(self, name, getattr(other, name))

    def say(self, text: str) -> None:
        if text not in self._shown:
            self._shown.add(text)
            self._other.say(text)


class _Remaining(TimeRemainingColumn):
    """The time that is left: as the training says, or as the progress so far foretells."""

    def render(self, task: Task) -> Text:
        left = task.fields["left"]
        return super().render(task) if left is None else Text(left, "progress.remaining")


class Terminal(Reporter):
    """The display on a console."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._last_line = 0.0
        self._headline = ""
        self._first: tuple[int, float] | None = None
        """First step of the training that was shown, and its seconds."""

    def say(self, text: str) -> None:
        self.console.print(visible(text), markup=False, emoji=False, soft_wrap=True)

    def choices(self, rows: Sequence[Decision]) -> None:
        if not rows:
            return
        table = Table(box=None, pad_edge=False)
        for heading in ("", "chosen", "because"):
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(*(Text(visible(text)) for text in (row.what, row.value, row.why)))
        self.console.print(table)

    def progress(self, stage: str, done: int, total: int) -> None:
        self._show(stage, done, total, f"{done:,} of {total:,}" if self.console.is_terminal else "")
        if done >= total:
            self._drop(stage)

    def event(self, event: Event) -> None:
        kind = event["event"]
        if kind == "validation":
            value, form = event[event["metric"]], ".2%" if event["is_share"] else ".4g"
            shown = "-" if value is None else f"{value:{form}}"
            self._headline = f"validation {event['metric']} {shown}"
            if not self.console.is_terminal:
                self.say(f"step {event['step']:,}: {self._headline} (n = {event['num_items']:,})")
        elif kind == "step":
            detail = f"loss {event['loss']:.3f}  {event['images_per_second']:,.0f} images/s"
            if self.console.is_terminal:
                detail += f"  {self._headline}"
            self._show("training", event["step"], event["of"], detail, event)
        elif kind == "plan":
            self._show(
                "training",
                event["step"],
                event["steps"],
                "number of steps adapted to the time that is left",
            )
        elif "text" in event:
            self.say(event["text"])
        if kind in ("finished", "stopped"):
            self._drop("training")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            self._tasks.clear()

    def _show(
        self, stage: str, done: int, total: int, detail: str, event: Event | None = None
    ) -> None:
        if not self.console.is_terminal:
            now = time.monotonic()
            if now - self._last_line >= _LINE_EVERY:
                self._last_line = now
                left = None if event is None else self._left(event)
                self.say(f"{stage}: {done:,} of {total:,}  {detail}{f'  {left} left' * bool(left)}")
            return
        left = None if event is None else self._left(event)
        if self._bar is None:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                _Remaining(compact=True),
                TextColumn("{task.fields[detail]}"),
                console=self.console,
            )
            self._bar.start()
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(stage, total=total, detail=detail, left=left)
        self._bar.update(self._tasks[stage], completed=done, total=total, detail=detail, left=left)

    def _left(self, event: Event) -> str | None:
        """The time that the steps left will take, if they take what those since the first took.

        No longer than the clock lets them, where it ends the training.
        """
        step, seconds = event["step"], event.get("seconds", 0.0)
        if self._first is None or step <= self._first[0]:
            self._first = step, seconds
            return None
        each = (seconds - self._first[1]) / (step - self._first[0])
        left = each * (event["of"] - step)
        return _duration(min(left, event.get("seconds_left", left)))

    def _drop(self, stage: str) -> None:
        task = self._tasks.pop(stage, None)
        if self._bar is not None and task is not None:
            self._bar.remove_task(task)
            if not self._tasks:
                self.close()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def print_error(error: StriateError | str) -> None:
    """An error without its traceback, on standard error."""
    Console(stderr=True, highlight=False).print(
        Text.assemble(("Error", "bold red"), f" {visible(str(error))}"), soft_wrap=True
    )
