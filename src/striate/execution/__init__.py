"""On what and how a network runs: chosen by measuring, exchanged without rewriting it."""

from striate.execution.chooser import (
    Contender,
    Trial,
    choose,
    estimated_seconds,
    guess,
    trial_seconds,
)
from striate.execution.device import Execution, threads
from striate.execution.memory import keep_pages
from striate.execution.store import Store
from striate.execution.swap import accelerate, accelerated, restore

__all__ = [
    "Contender",
    "Execution",
    "Store",
    "Trial",
    "accelerate",
    "accelerated",
    "choose",
    "estimated_seconds",
    "guess",
    "keep_pages",
    "restore",
    "threads",
    "trial_seconds",
]
