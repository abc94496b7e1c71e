"""Weights of classes in a loss: numbers, or balanced by the counts of the training split."""

from typing import Any

import torch

from striate.data import ImageSet
from striate.data.spelling import enumerated
from striate.errors import ConfigError
from striate.losses import LOSSES, balanced_weights
from striate.registry import Pick

BALANCED = "balanced"
_FORM = (
    f"Accepted: loss.class_weights={BALANCED}, by the counts of the training images, or one number "
    "of 0 or more for each class: loss.class_weights=[1,2.5]."
)


def split_arguments(loss: Pick | None, train: ImageSet) -> dict[str, Any]:
    """The arguments of a loss that follow from the training split: its class weights.

    Raises:
        ConfigError: not one weight for each class, or nothing that could be counted.
    """
    weights = None if loss is None else loss.arguments.get("class_weights")
    if weights is None:
        return {}
    for name, field in train.fields.items():
        counts = field.counts(train.columns[name])
        if counts is None:
            continue
        if weights == BALANCED:
            return {"class_weights": balanced_weights(counts)}
        if len(weights) != len(counts):
            raise ConfigError(
                f"loss.class_weights has {len(weights)} numbers for the {len(counts)} classes "
                f"{enumerated(field.names)}. {_FORM}"
            )
        return {"class_weights": list(map(float, weights))}
    raise ConfigError("loss.class_weights is set, and these data have no classes. Leave it out.")


def try_class_loss(loss: Pick | None) -> None:
    """Call a loss of class numbers on zeros; weights of classes are checked in their form alone.

    Raises:
        ConfigError, TypeError, ValueError: an argument that the loss cannot take.
    """
    if loss is None:
        return
    arguments = dict(loss.arguments)
    weights = arguments.pop("class_weights", None)
    if not are_weights(weights):
        raise ConfigError(f"class_weights={weights!r} does not fit. {_FORM}")
    bound = LOSSES.bind(Pick(loss.name, **arguments), ("scores", "target"))
    lists = [value for value in arguments.values() if isinstance(value, (list, tuple))]
    num_classes = max(map(len, lists), default=2)  # of lists with a number for each class
    bound(torch.zeros(2, num_classes), torch.zeros(2).long())


def are_weights(weights: Any) -> bool:
    """Whether weights are balanced, finite numbers of 0 or more, or left out."""
    if weights is None or weights == BALANCED:
        return True
    is_list = isinstance(weights, (list, tuple))
    return is_list and all(type(w) in (int, float) and 0 <= w < float("inf") for w in weights)
