"""Which output of a published network stands for which class of a data set."""

import re
from collections.abc import Sequence

from striate.errors import ConfigError
from striate.networks.weight import Weights

_SYNSET = re.compile(r"n\d{8}(?!\d)")


def answer_names(weights: Weights) -> tuple[str, ...] | None:
    """The names of the network's K classes in their order; None where the weights carry none.

    Example:
        >>> from striate.networks import PRETRAINED
        >>> answer_names(PRETRAINED["resnet20"])[:3]
        ('airplane', 'automobile', 'bird')
    """
    names = tuple(name.strip() for name in weights.classes.split(","))
    return names if len(names) == weights.num_classes else None


def class_order(weights: Weights, class_names: Sequence[str]) -> tuple[int, ...]:
    """The network's output, 0..K-1, for each class of a data set.

    Classes are matched by name where the weights carry names; by index where they are numbers,
    or K synset ids (alone or at the beginning of a name), whose rank is the index.

    Args:
        weights: Weights, which name their classes.
        class_names: Names of the data set's classes.

    Example:
        >>> from striate.networks import PRETRAINED
        >>> class_order(PRETRAINED["resnet20"], ["Dog", "cat"])
        (5, 3)

    Raises:
        ConfigError: classes that cannot be matched.
    """
    num_classes = weights.num_classes
    known = answer_names(weights)
    if known is not None:
        index = {_folded(name): k for k, name in enumerate(known)}
        if all(_folded(name) in index for name in class_names):
            return _distinct(weights, class_names, [index[_folded(n)] for n in class_names])
    if all(re.fullmatch(r"[0-9]+", name) for name in class_names):
        numbers = [int(name) for name in class_names]
        if max(numbers) < num_classes:
            return _distinct(weights, class_names, numbers)
        raise ConfigError(
            f"The classes are numbers up to {max(numbers)}, the network's outputs are numbered "
            f"from 0 to {num_classes - 1}. Number the classes from 0, in this order: "
            f"{weights.classes}."
        )
    synsets = [_SYNSET.match(name) for name in class_names]
    if known is None and all(synsets) and len(set(synsets)) == num_classes:
        ids = [match[0] for match in synsets if match is not None]
        ranks = {synset: rank for rank, synset in enumerate(sorted(set(ids)))}
        return _distinct(weights, class_names, [ranks[synset] for synset in ids])
    raise ConfigError(_unmatched(weights, class_names, known))


def _folded(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def _distinct(
    weights: Weights, class_names: Sequence[str], outputs: Sequence[int]
) -> tuple[int, ...]:
    if len(set(outputs)) < len(outputs):
        twice = sorted(
            name for name, k in zip(class_names, outputs, strict=True) if outputs.count(k) > 1
        )
        raise ConfigError(
            f"The classes {', '.join(map(repr, twice[:6]))} stand for the same outputs of the "
            f"network ({weights.classes}). Make them one class."
        )
    return tuple(outputs)


def _unmatched(weights: Weights, class_names: Sequence[str], known: Sequence[str] | None) -> str:
    folded = {_folded(name) for name in known or ()}
    strange = [name for name in class_names if _folded(name) not in folded]
    more = f" and {len(strange) - 5} more" if len(strange) > 5 else ""
    accepted = (
        f"these names, or numbers from 0 to {weights.num_classes - 1} in their order"
        if known is not None
        else f"numbers from 0 to {weights.num_classes - 1}, or all {weights.num_classes} synset "
        "ids (n01440764, ...)"
    )
    return (
        f"The classes {', '.join(map(repr, strange[:5]))}{more} cannot be matched with the "
        f"network's {weights.num_classes} outputs: {weights.classes}. Accepted: {accepted}. To "
        "give the network other classes, train it: striate train DATA --pretrained NAME"
    )
