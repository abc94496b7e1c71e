"""Tasks: what is asked of networks. A new task is one file with one subclass of `Task`."""

from striate.registry import Registry
from striate.tasks.classification import Classification
from striate.tasks.prediction import Prediction
from striate.tasks.task import Build, DataShape, ReportedSplit, Setting, Task, View

__all__ = [
    "TASKS",
    "Build",
    "Classification",
    "DataShape",
    "Prediction",
    "ReportedSplit",
    "Setting",
    "Task",
    "View",
]

TASKS: Registry[Task] = Registry("task", {"classification": Classification})
