"""How well a linear classifier tells the classes apart at each layer: a probe for each depth."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from striate.data.fold import folds_of
from striate.errors import ConfigError
from striate.evaluation.interval import Proportion, wilson
from striate.seeing.feature import Images, features_of_layers
from striate.seeing.twin import twin

__all__ = ["Separability", "layers_over_depth", "separability"]

_FEWEST, _MOST = 5, 8
"""Layers that are chosen where a network has as many."""
_LARGEST = 1 / 2
"""Share of all modules above which a part is opened."""
_STRENGTHS = tuple(10.0**exponent for exponent in range(-2, 5))
"""Strengths of the ridge, for features of variance 1."""


@dataclass(frozen=True)
class Separability:
    """Error of a linear classifier on the features of one layer."""

    layer: str
    num_features: int
    error: Proportion
    """Images whose class was not predicted by a classifier that had not seen them."""


def separability(
    network: nn.Module,
    images: Images,
    labels: Int[Tensor, "N"],
    *,
    layers: Sequence[str] | None = None,
    num_folds: int = 5,
    groups: Sequence[str] | None = None,
) -> list[Separability]:
    """Errors of linear classifiers on the features of layers, by cross-validation.

    A ridge regression onto the classes is solved anew for each fold, on features of mean 0 and
    variance 1, averaged over positions. Its strength is chosen by leaving out one image after
    another of those that it learns from, so that the fold that is predicted has no part in it.
    Take images that the network was not trained on: it may know the others by heart. The interval
    is that of as many independent images, which classifiers that share images nearly are.

    Args:
        network: Any module; left as it is.
        images: Inputs as the network takes them, or batches of them.
        labels: Class index of each image.
        layers: Names of modules; None: `layers_over_depth`.
        num_folds: Number of folds.
        groups: Group of each image, of which a fold has all or none (a patient, near-duplicates);
            None: each image is its own.

    Returns:
        Layers in the order that was given, or in that in which they run.

    Raises:
        ConfigError: no such layer, or labels that do not fit the images.
        DataError: fewer images than folds, or a class that is a single group.

    Source: Alain and Bengio, Understanding intermediate layers using linear classifier probes
    (2016), section 3; there by gradient descent on all positions.
    """
    num_classes = len(set(labels.flatten().tolist()))
    if labels.ndim != 1 or num_classes < 2:
        raise ConfigError(
            f"Labels {tuple(labels.shape)} of {num_classes} class(es); one class index "
            "for each image is needed (N,), of two classes at least."
        )
    if layers is None:
        batches = iter([images] if isinstance(images, Tensor) else images)
        first = list(islice(batches, 1))
        if not first or not len(first[0]):
            raise ConfigError("There are no images.")
        layers = layers_over_depth(network, first[0][:1])
        images = images if isinstance(images, Tensor) else chain(first, batches)
    of_layer = features_of_layers(network, images, layers)
    num_images = len(next(iter(of_layer.values())))
    if num_images != len(labels):
        raise ConfigError(f"{num_images} images came with {len(labels)} labels.")
    classes = [int(label) for label in labels]
    groups = [str(i) for i in range(num_images)] if groups is None else groups
    folds = np.array(folds_of(groups, classes, num_folds))
    rows = []
    for layer in layers:
        wrong = _num_wrong(of_layer[layer].numpy(), np.array(classes), folds)
        rows.append(Separability(layer, of_layer[layer].shape[1], wilson(wrong, num_images)))
    return rows


def _num_wrong(features: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> int:
    """Images whose class is not predicted from the other folds."""
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    wrong = 0
    for fold in np.unique(folds):
        held = folds == fold
        model = make_pipeline(StandardScaler(), RidgeClassifierCV(_STRENGTHS))
        model.fit(features[~held].astype(np.float64), labels[~held])
        wrong += int((model.predict(features[held].astype(np.float64)) != labels[held]).sum())
    return wrong


def layers_over_depth(network: nn.Module, image: Float[Tensor, "1 *any"]) -> list[str]:
    """Names of up to eight parts of a network, from first to last, in the order they run.

    From the outermost modules on, the largest part is opened until there are five and none holds
    half the network, so that whole blocks are named rather than the branches inside them. Of those,
    the last one before each next part with weights counts: not a convolution but what comes of it
    after its norm, rectifier and pooling.

    Args:
        network: Any module; left as it is.
        image: One input as the network takes it.

    Raises:
        ConfigError: no module of the network gives a tensor.

    Example:
        >>> network = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 2)))
        >>> layers_over_depth(network, torch.zeros(1, 4))
        ['1.0', '1.1']
    """
    copied = twin(network)
    ended = _in_order_of_their_end(copied, image)
    names = [""]
    while True:
        inner = {name: [n for n in ended if n != name and _is_inside(n, name)] for name in names}
        closed = [name for name in names if inner[name]]
        if not closed:
            break
        opened = max(closed, key=lambda name: (name not in ended, len(inner[name])))
        is_small = opened in ended and len(inner[opened]) <= len(ended) * _LARGEST
        if is_small and len(names) >= _FEWEST:
            break
        module = copied.get_submodule(opened)
        parts = [f"{opened}.{name}".lstrip(".") for name, _ in module.named_children()]
        names.remove(opened)
        names += [part for part in parts if any(_is_inside(name, part) for name in ended)]
    names = sorted((name for name in names if name in ended), key=ended.index)
    if not names:
        raise ConfigError("No module of the network gives a tensor.")
    followers = [*names[1:], None]
    names = [
        name
        for name, follower in zip(names, followers, strict=True)
        if follower is None or _has_weights(copied.get_submodule(follower))
    ]
    chosen = np.linspace(0, len(names) - 1, min(len(names), _MOST)).round().astype(int)
    return [names[i] for i in chosen]


def _in_order_of_their_end(network: nn.Module, image: Tensor) -> list[str]:
    """Modules of a twin that give a tensor for one image, by the end of their last call."""
    ended: dict[str, None] = {}

    def keep(name: str, output: Any) -> None:
        ended.pop(name, None)
        if isinstance(output, Tensor) and output.ndim > 1 and len(output) == 1:
            ended[name] = None

    with ExitStack() as stack, torch.no_grad():
        for name, module in network.named_modules():
            hook = module.register_forward_hook(lambda _, __, output, name=name: keep(name, output))
            stack.callback(hook.remove)
        network(image)
    return list(ended)


def _has_weights(module: nn.Module) -> bool:
    """Whether a module multiplies by a matrix or kernel of its own; norms and biases do not."""
    return any(parameter.ndim > 1 for parameter in module.parameters())


def _is_inside(name: str, of: str) -> bool:
    return not of or name == of or name.startswith(f"{of}.")
