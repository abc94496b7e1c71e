"""Execution of a network: device and operators, chosen by measuring, exchanged in place."""

from striate.execution.chooser import Trial, choose, guess, step_seconds, trial_seconds
from striate.execution.device import Execution
from striate.execution.memory import keep_pages, lacks_memory
from striate.execution.swap import accelerate, accelerated, restore

__all__ = [
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
    "trial_seconds",
]
