"""Gradient checks, computational graphs, Jacobians, gradients through time and cost, by name."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate import calculus
from striate.calculus import Decay, GradientReport, Graph, LayerCost
from striate.data import Normalisation, open_source, prepare, survey
from striate.data.loader import to_float
from striate.durable import write_bytes
from striate.errors import ConfigError
from striate.losses import LOSSES
from striate.networks import NETWORKS
from striate.randomness import generator, layer_randomness
from striate.registry import Pick
from striate.settings import parse_assignments
from striate.terminal import Reporter
from striate.training.planner import advise

__all__ = ["bptt", "check", "cost", "graph", "jacobian", "mirror", "network_graph", "write_svg"]

SHAPE = (3, 32, 32)
"""Channels, height and width where neither data nor a shape is named: CIFAR's."""


_NAMELESS: tuple[str, ...] = ()


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
        network: a name of `NETWORKS`, with arguments as a Pick.
        loss: a name of `LOSSES`.
        data: path or name; the batch is spread over its training split. None: noise.
        shape: (C, *S) of the noise; by default 3 × 32 × 32.
        num_classes: K; by default the data's, 10 for noise.
        batch_size: B.
        elements: how many single elements of a large tensor are looked at; 0 leaves every tensor
            to the projections, two evaluations each, which is quickest.
        projections: how many random directions of a large tensor are looked at.
        seed: of weights, noise and directions.
        assignments: arguments as words: ("network.depth=20", "loss.margin=2").
        reporter: is told how far the data are; None: nobody.

    Raises:
        ConfigError: names and arguments that do not exist, all together.
        ShapeError: a shape that the network cannot take.
        DataError: data that cannot be read.

    Example:
        >>> check("linear", "hinge", shape=(1, 3, 4), num_classes=3).ok
        True
    """
    picks = _picks(network, loss, assignments)
    if data is None:
        images, labels, names = _noise(shape or SHAPE, batch_size, seed), None, _NAMELESS
    elif shape is not None:
        raise ConfigError("Give data or a shape, not both: the data say their own shape.")
    else:
        images, labels, names = _real(str(data), batch_size, reporter or Reporter())
    if data is not None and num_classes not in (None, len(names)):
        raise ConfigError(f"The data have {len(names)} classes; leave the number of classes out.")
    count = len(names) or num_classes or 10
    # The loss is checked together with the network, so that all problems come at once.
    built, function = _build(picks, tuple(images.shape[1:]), count, seed, images)
    target = _target(built, images, labels, count, seed)
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
        expression: such as "(x+y)*z".
        values: of its variables: ("x=-2", "y=5", "z=[1, 2]").

    Raises:
        ConfigError: what is not accepted in the formula or the values.

    Example:
        >>> found = graph("(x+y)*z", ("x=-2", "y=5", "z=-4"))
        >>> found.gradient(found.named("z")).item()
        3.0
    """
    function = calculus.parse_expression(expression)
    tensors = calculus.parse_values(tuple(values), function.names)
    return calculus.graph(function, tensors)


def network_graph(
    network: str | Pick,
    *,
    shape: tuple[int, ...] = SHAPE,
    num_classes: int = 10,
    depth: int | None = 1,
    batch_size: int = 2,
    seed: int = 0,
    assignments: Sequence[str] = (),
) -> Graph:
    """The computational graph of a network on noise, folded by module.

    The gradient is that of the sum of all scores.

    Args:
        network: a name of `NETWORKS`, with arguments as a Pick.
        shape: (C, *S).
        num_classes: K.
        depth: how deep modules are unfolded; None: every operation.
        batch_size: B.
        seed: of weights and noise.
        assignments: arguments as words: ("network.depth=20",).

    Raises:
        ConfigError: names and arguments that do not exist, all together.
        ShapeError: a shape that the network cannot take.
    """
    built, images = _network_and_noise(network, shape, num_classes, batch_size, seed, assignments)
    with layer_randomness(seed, "graph"):
        return calculus.graph(built, {"images": images}, depth=depth)


def mirror(
    network: str | Pick,
    *,
    shape: tuple[int, ...] = SHAPE,
    num_classes: int = 10,
    depth: int = 1,
    batch_size: int = 2,
    seed: int = 0,
    assignments: Sequence[str] = (),
) -> str:
    """The network above, its backward network below, as the text of an SVG file.

    Arguments and errors are those of `network_graph`.
    """
    built, images = _network_and_noise(network, shape, num_classes, batch_size, seed, assignments)
    with layer_randomness(seed, "graph"):
        return calculus.mirror_svg(built, images, depth=depth)


def jacobian(expression: str, values: Sequence[str], *, by: str | None = None) -> Tensor:
    """The Jacobian of vec f by vec of one variable, for a formula.

    Args:
        expression: such as "softmax(x)".
        values: of its variables.
        by: the variable; by default the first one in the formula.

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
    cells: Sequence[str] = ("simple", "gru", "lstm"),
    *,
    num_steps: int = 50,
    hidden_size: int = 32,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    gain: float = 1.0,
    forget_bias: float = 0.0,
    png: Path | None = None,
) -> tuple[Decay, ...]:
    """How gradients fade with distance in time, for recurrent cells; drawn where a file is named.

    Arguments and errors are those of `calculus.gradient_decay`; `png` names the picture.
    """
    measured = calculus.gradient_decay(
        tuple(cells),
        num_steps=num_steps,
        hidden_size=hidden_size,
        seeds=tuple(seeds),
        gain=gain,
        forget_bias=forget_bias,
    )
    if png is not None:
        calculus.decay_png(measured, png)
    return measured


def cost(
    network: str | Pick,
    *,
    shape: tuple[int, ...] = SHAPE,
    num_classes: int = 10,
    batch_size: int = 8,
    repeats: int = 15,
    seed: int = 0,
    assignments: Sequence[str] = (),
) -> tuple[LayerCost, ...]:
    """What forward and backward cost, predicted and measured, for each layer of a network.

    Arguments and errors are those of `network_graph`; `repeats` rounds are timed.
    """
    built, images = _network_and_noise(network, shape, num_classes, batch_size, seed, assignments)
    with layer_randomness(seed, "cost"):
        return calculus.layer_costs(built, images, repeats=repeats)


def write_svg(text: str, path: Path) -> None:
    """Write a picture, whole or not at all."""
    write_bytes(path, text.encode())


def _picks(network: str | Pick, loss: str | Pick, assignments: Sequence[str]) -> list[Pick]:
    asked = parse_assignments(assignments)
    problems = [
        f"There is nothing to set under {name!r}: only network.* and loss.*."
        for name in asked
        if name not in ("network", "loss")
    ]
    picks = []
    for name, chosen in (("network", network), ("loss", loss)):
        pick = Pick.from_json(chosen)
        given: Any = asked.get(name, {})
        if not isinstance(given, dict) or given.get("name", pick.name) != pick.name:
            problems.append(f"The {name} is named already: {pick.name!r}.")
        else:
            picks.append(pick.replace(**{key: v for key, v in given.items() if key != "name"}))
    if problems:
        raise ConfigError(problems)
    return picks


def _build(
    picks: list[Pick], shape: tuple[int, ...], num_classes: int, seed: int, images: Tensor
) -> tuple[nn.Module, Callable[..., Tensor]]:
    pick, loss = picks
    offered: dict[str, Any] = {
        "num_classes": num_classes,
        "in_channels": shape[0],
        "input_size": shape[1:],
        "ndim": len(shape) - 1,
    }
    wanted = ("scores", "target")
    problems = NETWORKS.problems(pick, tuple(offered)) + LOSSES.problems(loss, wanted)
    if problems:
        raise ConfigError(problems)
    with layer_randomness(seed, "initialise"):
        built = NETWORKS.build(pick, **offered)
    if hasattr(built, "initialise_from"):
        built.initialise_from(images)  # type: ignore[operator]
    return built, LOSSES.bind(loss, wanted)


def _network_and_noise(
    network: str | Pick,
    shape: tuple[int, ...],
    num_classes: int,
    batch_size: int,
    seed: int,
    assignments: Sequence[str],
) -> tuple[nn.Module, Tensor]:
    images = _noise(shape, batch_size, seed)
    picks = _picks(network, "softmax_cross_entropy", assignments)
    return _build(picks, shape, num_classes, seed, images)[0], images


def _noise(shape: tuple[int, ...], batch_size: int, seed: int) -> Tensor:
    if len(shape) < 2 or min(*shape, batch_size) < 1:
        raise ConfigError(
            f"shape={shape} with a batch of {batch_size} does not fit; give channels and then "
            "each spatial size, for example 3,32,32."
        )
    return torch.randn((batch_size, *shape), generator=generator(seed, "check", "images"))


def _real(data: str, batch_size: int, reporter: Reporter) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Images and labels spread over the training split, normalised as for training."""
    source = open_source(data)
    place = str(Path(data).resolve()) if Path(data).exists() else data
    config, _ = advise(place, survey(source), {})
    dataset = prepare(config.data, source=source, progress=reporter.progress)
    rows = np.linspace(0, len(dataset.train) - 1, batch_size).round().astype(int)
    normalise = Normalisation.measure(dataset.train.images)
    pixels = torch.from_numpy(np.array(dataset.train.images[rows]))
    labels = torch.from_numpy(np.array(dataset.train.labels[rows]))
    return normalise(to_float(pixels)).contiguous(), labels, dataset.class_names


def _target(
    network: nn.Module, images: Tensor, labels: Tensor | None, num_classes: int, seed: int
) -> Tensor:
    """The labels, or random ones of the shape that the scores ask for."""
    with torch.no_grad():
        scores = network.eval()(images)
    spatial = tuple(scores.shape[2:])
    if labels is not None and not spatial:
        return labels
    if labels is not None:
        raise ConfigError(
            "The network gives scores for each pixel, the data have one label for each image: "
            "leave the data out to check it on noise."
        )
    source = generator(seed, "check", "target")
    return torch.randint(num_classes, (len(images), *spatial), generator=source)
