"""On what and how a network runs: chosen by measuring, exchanged without rewriting it."""

from striate.execution.chooser import (
    Candidate,
    Trial,
    choose,
    guess,
    step_seconds,
    trial_seconds,
)
from striate.execution.device import Execution, threads
from striate.execution.memory import keep_pages, lacks_memory
from striate.execution.swap import accelerate, accelerated, restore

__all__ = [
    "Candidate",
    "Execution",
    "Trial",
    "accelerate",
    "accelerated",
    "choose",
    "guess",
    "keep_pages",
    "lacks_memory",
    "restore",
    "step_seconds",
    "threads",
    "trial_seconds",
]
