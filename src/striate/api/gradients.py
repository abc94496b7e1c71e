"""Gradient checks, computational graphs, Jacobians and gradients through time, by name."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from striate import calculus
from striate.api.frame import decoded_images
from striate.api.request import Request
from striate.api.resolve import resolve
from striate.calculus import (
    Decay,
    GradientReport,
    Graph,
    decay_text,
    graph_svg,
    jacobian_svg,
)
from striate.data import Normalisation
from striate.data.field import Category, take
from striate.data.plain import inputs_of
from striate.errors import ConfigError
from striate.losses import LOSSES
from striate.networks import NETWORKS
from striate.randomness import generator, layer_randomness
from striate.registry import Pick
from striate.settings import named_pick, parse_groups
from striate.terminal import Reporter
from striate.training.fitting import NETWORK_ARGUMENTS, build_network

__all__ = ["NETWORKS", "decay_text", "graph_svg", "jacobian_svg"]

SHAPE = (3, 32, 32)
"""Channels, height and width where neither data nor a shape is named: CIFAR's."""


def check(
    network: str | Pick,
    loss: str | Pick = "softmax_cross_entropy",
    *,
    data: str | Path | None = None,
    shape: tuple[int, ...] | None = None,
    num_classes: int | None = None,
    batch_size: int = 2,
    elements: int = 4,
    projections: int = 2,
    seed: int = 0,
    assignments: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> GradientReport:
    """The gradient check of a network and a loss by name, on real images or on noise.

    Args:
        network: Name of `NETWORKS`, or a Pick with arguments.
        loss: Name of `LOSSES`, or a Pick with arguments.
        data: Path or name of images; the batch is spread over the training split. None: noise.
        shape: Shape (C, *S) of the noise; by default 3 × 32 × 32.
        num_classes: Number of classes K; by default the data's, 10 for noise.
        batch_size: Number of images B.
        elements: Number of single elements to check in a large tensor; 0 leaves every tensor to
            the projections, two evaluations each, which is quickest.
        projections: Number of random directions to check in a large tensor.
        seed: Random seed of weights, noise and directions.
        assignments: Arguments as words: ("network.depth=20", "loss.margin=2").
        reporter: Receiver of the progress; None: nobody.

    Raises:
        ConfigError: names and arguments that do not exist, all together.
        ShapeError: a shape that the network cannot take.
        DataError: data that cannot be read.

    Example:
        >>> check("linear", "hinge", shape=(1, 3, 4), num_classes=3).ok
        True
    """
    target: Tensor | None = None
    if data is None:
        images, count = _noise(shape or SHAPE, batch_size, seed), num_classes or 10
    elif shape is not None:
        raise ConfigError("Give data or a shape, not both: the data have their own shape.")
    else:
        images, target, count = _real(str(data), batch_size, reporter or Reporter())
        if num_classes not in (None, count):
            raise ConfigError(f"The data have {count} classes; leave the number of classes out.")
    built, function = _build(network, loss, images, count, seed, assignments)
    target = _target(built, images, target, count, seed)
    return calculus.check_network(
        built,
        function,
        images,
        target,
        elements=elements,
        projections=projections,
        exhaustive=12 if elements else 0,
        seed=seed,
    )


def graph(expression: str, values: Sequence[str]) -> Graph:
    """The computational graph of a formula.

    Args:
        expression: Formula, such as "(x+y)*z".
        values: Values of its variables: ("x=-2", "y=5", "z=[1, 2]").

    Raises:
        ConfigError: what is not accepted in the formula or the values.

    Example:
        >>> product = graph("(x+y)*z", ("x=-2", "y=5", "z=-4"))
        >>> product.gradient(product.named("z")).item()
        3.0
    """
    function = calculus.parse_expression(expression)
    tensors = calculus.parse_values(tuple(values), function.names)
    return calculus.graph(function, tensors)


def network_graph(network: str | Pick, *, depth: int | None = 1, **options: Any) -> Graph:
    """The computational graph of a network on noise, folded by module.

    The gradient is that of the sum of all scores.

    Args:
        network: Name of `NETWORKS`, or a Pick with arguments.
        depth: Depth to which modules are unfolded; None: every operation.
        options: `shape` (C, *S) of an image, `num_classes`, `batch_size`, `seed` of weights and
            noise, and `assignments` as words: ("network.depth=20",).

    Raises:
        ConfigError: names and arguments that do not exist, all together.
        ShapeError: a shape that the network cannot take.
    """
    built, images = build_noise(network, **options)
    with layer_randomness(options.get("seed", 0), "graph"):
        return calculus.graph(built, {"images": images}, depth=depth)


def mirror(network: str | Pick, *, depth: int = 1, **options: Any) -> str:
    """The network above, its backward network below, as the text of an SVG file.

    Arguments and errors are those of `network_graph`.
    """
    built, images = build_noise(network, **options)
    with layer_randomness(options.get("seed", 0), "graph"):
        return calculus.mirror_svg(built, images, depth=depth)


def jacobian(expression: str, values: Sequence[str], *, by: str | None = None) -> Tensor:
    """The Jacobian of vec f by vec of one variable, for a formula.

    Args:
        expression: Formula, such as "softmax(x)".
        values: Values of its variables.
        by: Variable of the derivative; by default the formula's first.

    Raises:
        ConfigError: what is not accepted in the formula or the values.

    Example:
        >>> jacobian("x * w", ("x=[1, 2]", "w=3"))
        tensor([[3., 0.],
                [0., 3.]], dtype=torch.float64)
    """
    function = calculus.parse_expression(expression)
    tensors = calculus.parse_values(tuple(values), function.names)
    name = function.names[0] if by is None else by
    if name not in tensors:
        raise ConfigError(f"The expression has no {name!r}; it has: {', '.join(function.names)}.")

    def of_one(tensor: Tensor) -> Tensor:
        return function(*(tensor if key == name else tensors[key] for key in tensors))

    return calculus.jacobian(of_one, tensors[name])


def bptt(
    cells: Sequence[str] = ("simple", "gru", "lstm"), *, png: Path | None = None, **options: Any
) -> tuple[Decay, ...]:
    """The decay of gradients with distance in time, for recurrent cells.

    Args:
        cells: Names of cells.
        png: File for a chart; None: none.
        options: Further arguments of `calculus.gradient_decay`.
    """
    measured = calculus.gradient_decay(tuple(cells), **options)
    if png is not None:
        calculus.decay_png(measured, png)
    return measured


def _build(
    network: str | Pick,
    loss: str | Pick,
    images: Tensor,
    count: int,
    seed: int,
    assignments: Sequence[str],
) -> tuple[nn.Module, Callable[..., Tensor]]:
    """The network for images (B, C, *S) and `count` classes, and the loss."""
    settings = parse_groups(assignments, ("network", "loss"))
    pick, chosen = named_pick("network", network, settings), named_pick("loss", loss, settings)
    wanted = ("scores", "target")
    # The loss is checked together with the network, so that all problems come at once.
    problems = NETWORKS.problems(pick, (*NETWORK_ARGUMENTS, "ndim"))
    problems += LOSSES.problems(chosen, wanted)
    if problems:
        raise ConfigError(problems)
    channels, *size = images.shape[1:]
    with layer_randomness(seed, "initialise"):
        built = build_network(pick, count, channels, size, ndim=len(size))
    if hasattr(built, "initialise_from"):
        built.initialise_from(images)  # type: ignore[operator]
    return built, LOSSES.bind(chosen, wanted)


def build_noise(
    network: str | Pick,
    shape: tuple[int, ...] = SHAPE,
    num_classes: int = 10,
    batch_size: int = 2,
    seed: int = 0,
    assignments: Sequence[str] = (),
) -> tuple[nn.Module, Tensor]:
    """A network by name with fresh weights, and a batch of noise of a shape (C, *S) for it."""
    images = _noise(shape, batch_size, seed)
    loss = "softmax_cross_entropy"
    return _build(network, loss, images, num_classes, seed, assignments)[0], images


def _noise(shape: tuple[int, ...], batch_size: int, seed: int) -> Tensor:
    if len(shape) < 2 or min(*shape, batch_size) < 1:
        raise ConfigError(
            f"shape={shape} with a batch of {batch_size} does not fit; give channels and then "
            "each spatial size, for example 3,32,32."
        )
    return torch.randn((batch_size, *shape), generator=generator(seed, "check", "images"))


def _real(data: str, batch_size: int, reporter: Reporter) -> tuple[Tensor, Tensor, int]:
    """Images and targets spread over the training split, normalised; the number of classes."""
    plan = resolve(Request(data), speed=None, reporter=reporter)
    dataset = decoded_images(plan.config, plan.source, reporter)
    rows = np.linspace(0, len(dataset.train) - 1, batch_size).round().astype(int)
    normalise = Normalisation.measure(dataset.train.images)
    category = cast(Category, dataset.fields["category"])
    target = category.collate(take(dataset.train.columns["category"], rows))
    return inputs_of(dataset.train.images[rows], normalise), target, len(category.names)


def _target(
    network: nn.Module, images: Tensor, target: Tensor | None, count: int, seed: int
) -> Tensor:
    """The targets of the data, or random ones of the shape that fits the scores."""
    with torch.no_grad():
        scores = network.eval()(images)
    spatial = tuple(scores.shape[2:])
    if target is None:
        source = generator(seed, "check", "target")
        return torch.randint(count, (len(images), *spatial), generator=source)
    if spatial:
        raise ConfigError(
            "The network gives scores for each pixel, the data have one label for each image: "
            "leave the data out to check it on noise."
        )
    return target
