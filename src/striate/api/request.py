"""A training as a person describes it, before the planner decides the rest."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Literal

from striate.recipes import RECIPES
from striate.settings import Settings, merge, parse_assignments
from striate.tasks import task_named

__all__ = ["Request", "task_named"]


@dataclass(frozen=True)
class Request:
    """The wishes of a person for a training; the planner decides whatever is None.

    Args:
        data: A folder, an archive, a list, or the name of a data set or of a recipe.
        task: A name of `TASKS`, or a Python file with a task of your own; None: classification.
        network: A name of `NETWORKS` or of `PREDICTORS`. For a file of weights that has no
            published name: the network that they belong to.
        pretrained: The name of published weights, a file of them, or the folder of a finished run
            to start from; "none": from nothing; None: what promises more, where weights are here.
        freeze: Share of the training in which only the last layer learns; None: planned.
        epochs: Passes over the training images. The shortest of the three lengths holds.
        steps: Batches.
        minutes: Time for everything, from the command to the report.
        seed: Random seed of the training; the splits have one of their own.
        strict: Refuse data with broken files instead of leaving them out.
        leaks: What to do about test images with near duplicates in the other splits: "stop" (the
            default), "allow" them and say so in the report, or "drop" the duplicates.
        limit: Largest number of images to take outside a declared test split, for a quick try.
        groups: Pattern that finds a group, which no split divides, in names: "*/GROUP/*".
        target_pattern: Pattern of what the names of the files say of their images:
            "*_{age}_*.jpg", "{label}-*.png".
        settings: Any other setting, nested: {"optimiser": {"lr": 0.1}}.
        assignments: Settings as text: ("optimiser.lr=0.1",).
    """

    data: str | Path
    _: KW_ONLY
    task: str | None = None
    network: str | None = None
    pretrained: str | Path | None = None
    freeze: float | None = None
    epochs: float | None = None
    steps: int | None = None
    minutes: float | None = None
    seed: int | None = None
    strict: bool = False
    leaks: Literal["stop", "allow", "drop"] | None = None
    limit: int | None = None
    groups: str | None = None
    target_pattern: str | None = None
    settings: Mapping[str, Any] | None = None
    assignments: tuple[str, ...] = ()

    @property
    def is_recipe(self) -> bool:
        """Whether `data` names a recipe, and no file."""
        return str(self.data) in RECIPES and not Path(self.data).exists()

    @property
    def assigned(self) -> Settings:
        """`settings` and `assignments` together.

        Raises:
            ConfigError: An assignment that is not KEY=VALUE.
        """
        return merge(dict(self.settings or {}), parse_assignments(self.assignments))

    def to_json(self) -> dict[str, Any]:
        """JSON values of everything that is set."""
        values: dict[str, Any] = {"data": str(self.data)}
        for name, value in vars(self).items():
            if value is None or value is False or value == () or name == "data":
                continue
            values[name] = list(value) if isinstance(value, tuple) else value
            if isinstance(value, Path):
                values[name] = str(value)
        return values
