"""What is asked of a network: how a batch becomes a loss, and scores become an answer."""

from striate.registry import Registry
from striate.tasks.classification import Classification

__all__ = ["TASKS", "Classification"]

TASKS: Registry[Classification] = Registry("task", {"classification": Classification})
