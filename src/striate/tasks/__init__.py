"""Tasks of networks. A new task is one file with one subclass of `Task`."""

from typing import Any

from striate.data.source import Source
from striate.registry import Registry
from striate.tasks import load
from striate.tasks.classification import Classification
from striate.tasks.conditions import Conditions
from striate.tasks.labels import Labels
from striate.tasks.prediction import Prediction
from striate.tasks.regression import Regression
from striate.tasks.segmentation import Segmentation
from striate.tasks.task import Build, DataShape, ReportedSplit, Setting, Task, View

__all__ = [
    "TASKS",
    "Build",
    "Classification",
    "Conditions",
    "DataShape",
    "Labels",
    "Prediction",
    "Regression",
    "ReportedSplit",
    "Segmentation",
    "Setting",
    "Task",
    "View",
    "recognised",
    "task_named",
]

TASKS: Registry[Task] = Registry(
    "task",
    {
        "classification": Classification,
        "segmentation": Segmentation,
        "labels": Labels,
        "regression": Regression,
    },
)


def task_named(name: str) -> str:
    """The name of a registered task, of one in an installed package, or of one in a file.

    Raises:
        ConfigError: there is no such task.
    """
    return load.task_named(TASKS, name)


def recognised(source: Source) -> tuple[str, str] | None:
    """The name of the last task that a source is evidently meant for, and the reason.

    So a task of one's own comes before those of the package. None: no task claims it, and it is
    taken for classification.
    """
    for name in reversed(list(TASKS)):
        task: Any = TASKS[name]
        reason = task.recognises(source)
        if reason is not None:
            return name, reason
    return None
