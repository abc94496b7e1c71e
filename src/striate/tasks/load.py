"""Tasks from outside the package: a file of one's own, or an installed package."""

import importlib.util
import inspect
import sys
from importlib.metadata import entry_points
from pathlib import Path

from striate.errors import ConfigError, unknown_name
from striate.registry import Registry
from striate.tasks.task import Task

ENTRY_POINTS = "striate.tasks"
"""Group of entry points under which a package offers its tasks by name."""


def task_named(tasks: Registry[Task], name: str) -> str:
    """The registered name of a task that a person named: a name, or a file "my_task.py".

    A file is run as Python: name only files that you trust. A run remembers the name alone, and no
    code is ever run because a run's folder asks for it.

    Args:
        tasks: Registry that gets the task, where it came from a file or a package.
        name: Name of a task, or path of a Python file with one task.

    Raises:
        ConfigError: there is no such task.
    """
    if name in tasks:
        return name
    if name.endswith(".py"):
        return load_task(tasks, Path(name))
    register_installed(tasks)
    if name in tasks:
        return name
    raise ConfigError(
        f"{unknown_name('task', name, tasks)} A task of your own is named by its file: my_task.py; "
        f"for a run of one: striate --task-file my_task.py COMMAND RUN"
    )


def register_installed(tasks: Registry[Task]) -> None:
    """Register the tasks that installed packages offer as entry points."""
    for point in entry_points(group=ENTRY_POINTS):
        if point.name not in tasks:
            tasks.register(point.name, point.load())


def load_task(tasks: Registry[Task], path: Path) -> str:
    """Run a Python file, register the one task that it defines, and return its name.

    The name is that of the file without its ending.

    Raises:
        ConfigError: there is no such file, or it does not define exactly one task.
    """
    if not path.is_file():
        raise ConfigError(f"{path} does not exist; --task takes a name or a Python file.")
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} cannot be loaded as Python.")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, module)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    own = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Task) and not inspect.isabstract(value)
        if value.__module__ == module.__name__
    ]
    if len(own) != 1:
        names = ", ".join(task.__name__ for task in own) or "none"
        raise ConfigError(
            f"{path} must define one task, a subclass of striate.tasks.Task; it defines {names}."
        )
    if name not in tasks:
        tasks.register(name, own[0])
    return name
