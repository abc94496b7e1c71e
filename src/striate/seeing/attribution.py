"""Which parts of an image a number rests on: six methods with one form.

Each takes a network, images as the network takes them and a target, and gives numbers for each
image that depend on that image alone. What they mean differs, and so does what they can be trusted
with: see the page on seeing in the documentation.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ConfigError
from striate.seeing.rectifiers import Rectifiers, Rule
from striate.seeing.target import Target, scores_of
from striate.seeing.twin import captured, last_call, twin

__all__ = [
    "deconvnet",
    "grad_cam",
    "gradient",
    "guided_backpropagation",
    "has_rectifiers",
    "integrated_gradients",
    "occlusion",
]

_AT_ONCE = 32
"""Changed images that run through the network at once."""


def gradient(
    network: nn.Module, images: Float[Tensor, "B *any"], target: Target
) -> Float[Tensor, "B *any"]:
    """∂(target)/∂(image): by how much the number rises with each value of the image.

    Args:
        network: Any module; left as it is.
        images: Inputs as the network takes them (normalised).
        target: Class, unit or function; see `Target`.

    Raises:
        ConfigError: a target that the network does not have.

    Source: Simonyan, Vedaldi and Zisserman, Deep Inside Convolutional Networks (2014), section 3.

    Example:
        >>> network = nn.Linear(2, 3)
        >>> torch.equal(gradient(network, torch.zeros(1, 2), 1)[0], network.weight[1])
        True
    """
    return _backward(twin(network), images, target, None)


def guided_backpropagation(
    network: nn.Module, images: Float[Tensor, "B *any"], target: Target
) -> Float[Tensor, "B *any"]:
    """The gradient whose negative signals are dropped at each rectifier, forward and backward.

    It shows edges that excite, and hardly depends on the class: after randomising the upper layers
    it looks nearly the same.

    Args:
        network: Any module with rectifiers; left as it is.
        images: Inputs as the network takes them.
        target: Class, unit or function.

    Raises:
        ConfigError: a target that the network does not have, or a network without a rectifier,
            where this would be the gradient under another name.

    Source: Springenberg et al., Striving for Simplicity (2015), section 3.4.
    """
    return _backward(twin(network), images, target, "guided")


def deconvnet(
    network: nn.Module, images: Float[Tensor, "B *any"], target: Target
) -> Float[Tensor, "B *any"]:
    """The target projected back to the image: maxima to where they came from, sums rectified.

    Convolutions are transposed, max poolings put each value where its maximum was (the switches),
    rectifiers drop what is below zero on the way back, whatever they did on the way there. It shows
    what excites a unit of a layer; it does not say where a class is.

    Args:
        network: Any module with rectifiers; left as it is.
        images: Inputs as the network takes them.
        target: Usually a `Unit`.

    Raises:
        ConfigError: as for `guided_backpropagation`.

    Source: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks (2014), section
    2.1.
    """
    return _backward(twin(network), images, target, "deconvnet")


def grad_cam(
    network: nn.Module,
    images: Float[Tensor, "B C *S"],
    target: Target,
    layer: str,
    *,
    rectify: bool = True,
) -> Float[Tensor, "B *s"]:
    """The maps of a layer, each weighted by the mean gradient of the target over its positions.

    Args:
        network: Any module; left as it is.
        images: Inputs as the network takes them.
        target: Class, unit or function.
        layer: Name of a module whose output is (B, C', *s); its last call counts.
        rectify: Whether negative sums are dropped, as the paper does.

    Raises:
        ConfigError: no such target or layer, a layer without positions, or one that the target does
            not depend on.

    Source: Selvaraju et al., Grad-CAM (2017), equations 1 and 2.
    """
    network = twin(network)
    with torch.enable_grad(), captured(network, layer) as layers:
        # The image needs a gradient, so that the layer's output has one.
        scores = scores_of(network, images.detach().clone().requires_grad_().clone(), target)
    maps = last_call(layers, layer)
    if maps.ndim < 3:
        raise ConfigError(
            f"The layer {layer!r} gives {tuple(maps.shape[1:])} for each image, without positions; "
            "name an earlier one."
        )
    gradients = _gradients(scores, maps)
    weights = gradients.flatten(2).mean(2)
    summed = torch.einsum("bc,bc...->b...", weights, maps.detach())
    return summed.clamp(min=0) if rectify else summed


def integrated_gradients(
    network: nn.Module,
    images: Float[Tensor, "B *any"],
    target: Target,
    *,
    baseline: float | Tensor = 0.0,
    steps: int = 64,
) -> Float[Tensor, "B *any"]:
    """Shares of the difference between an image's and a baseline's number, value by value.

    The gradient is averaged along the straight line from the baseline, at the middles of `steps`
    equal pieces, and multiplied by the difference. The shares add up to the difference of the
    numbers, the better the more steps. Memory does not grow with their number.

    Args:
        network: Any module; left as it is.
        images: Inputs as the network takes them.
        target: Class, unit at a position, or function.
        baseline: Image that stands for nothing, or its value: 0 is the mean colour of the training
            images where these are normalised.
        steps: Number of pieces.

    Raises:
        ConfigError: a target that the network does not have, or steps below 1.

    Source: Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks (2017), section 3;
    the middles instead of the right ends of its equation 3.
    """
    if steps < 1:
        raise ConfigError(f"steps={steps} must be 1 or more.")
    network, images = twin(network), images.detach()
    start = torch.as_tensor(baseline, dtype=images.dtype, device=images.device)
    start = start.expand_as(images)
    results = []
    for index in range(len(images)):
        own = _of_image(target, index)
        first, difference = start[index], images[index] - start[index]
        total = torch.zeros_like(first)
        for middles in torch.split((torch.arange(steps) + 0.5) / steps, _AT_ONCE):
            shares = middles.to(images).view(-1, *[1] * first.ndim)
            total += _backward(network, first + shares * difference, own, None).sum(0)
        results.append(difference * total / steps)
    return torch.stack(results)


def occlusion(
    network: nn.Module,
    images: Float[Tensor, "B *any"],
    target: Target,
    *,
    window: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    baseline: float = 0.0,
) -> Float[Tensor, "B *S"]:
    """By how much the number falls when a window of the image is covered.

    A position gets the mean over the windows that cover it. The last window along an axis ends with
    the image.

    Args:
        network: Any module; left as it is.
        images: Inputs (B, C, *S), whose channels are covered together, or (B, F).
        target: Class, unit or function.
        window: Sides of the window, pixels.
        stride: Pixels from one window to the next.
        baseline: Value that covers; 0 is the mean colour where images are normalised.

    Raises:
        ConfigError: a target that the network does not have, or a window or stride that does not
            fit.

    Source: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks (2014), section
    4.2.
    """
    network, images = twin(network), images.detach()
    size = images.shape[2:] or images.shape[1:]
    sides, strides = _sides("window", window, len(size)), _sides("stride", stride, len(size))
    windows = list(_windows(tuple(size), sides, strides))
    results = []
    with torch.no_grad():
        for index in range(len(images)):
            own = _of_image(target, index)
            image = images[index : index + 1]
            before = scores_of(network, image, own)
            total, count = (
                torch.zeros(size, dtype=images.dtype, device=images.device) for _ in "ab"
            )
            for start in range(0, len(windows), _AT_ONCE):
                part = windows[start : start + _AT_ONCE]
                covered = image.repeat(len(part), *[1] * (image.ndim - 1))
                for row, where in zip(covered, part, strict=True):
                    row[(..., *where)] = baseline
                falls = before - scores_of(network, covered, own)
                for fall, where in zip(falls, part, strict=True):
                    total[where] += fall
                    count[where] += 1
            results.append(total / count.clamp(min=1))
    return torch.stack(results)


def has_rectifiers(network: nn.Module, images: Float[Tensor, "B *any"]) -> bool:
    """Whether guided backpropagation and deconvnet differ from the gradient on a network.

    Args:
        network: Any module; left as it is.
        images: Inputs as the network takes them.
    """
    with torch.no_grad(), Rectifiers("guided") as rectifiers:
        twin(network)(images)
    return bool(rectifiers.count)


def _backward(
    network: nn.Module, images: Tensor, target: Target, rule: Rule | None
) -> Float[Tensor, "B *any"]:
    """The gradient of a target by the image, with a rule at the rectifiers."""
    mode = nullcontext() if rule is None else Rectifiers(rule)
    with torch.enable_grad():
        pixels = images.detach().clone().requires_grad_()
        with mode as rectifiers:
            # Layers that work in place must not change a tensor that needs a gradient itself.
            scores = scores_of(network, pixels.clone(), target)
        if rectifiers is not None and rectifiers.count == 0:
            raise ConfigError(
                "The network has no rectifier (ReLU, ReLU6, clamp from 0, ...): without one this "
                "method is the plain gradient. Ask for the gradient instead."
            )
        return _gradients(scores, pixels)


def _gradients(scores: Tensor, by: Tensor) -> Tensor:
    """Gradients of each image's number; each depends on its own image alone.

    Raises:
        ConfigError: the numbers do not depend on that.
    """
    if not scores.requires_grad:
        raise ConfigError("The target does not depend on the image through anything with a slope.")
    (slopes,) = torch.autograd.grad(scores.sum(), by, allow_unused=True)
    if slopes is None:
        raise ConfigError("The target does not depend on that layer.")
    return slopes.detach()


def _of_image(target: Target, index: int) -> Target:
    """The target of one of the images, whatever number of copies of it is to come."""
    if isinstance(target, Tensor) and target.ndim:
        return int(target[index])
    return target


def _sides(name: str, value: int | Sequence[int], num_axes: int) -> tuple[int, ...]:
    sides = (value,) * num_axes if isinstance(value, int) else tuple(value)
    if len(sides) != num_axes or min(sides) < 1:
        raise ConfigError(f"{name}={value}: {num_axes} whole number(s) of 1 or more are needed.")
    return sides


def _windows(
    size: tuple[int, ...], sides: tuple[int, ...], strides: tuple[int, ...]
) -> Iterator[tuple[slice, ...]]:
    """Windows that cover an image, in reading order."""
    starts = []
    for length, side, stride in zip(size, sides, strides, strict=True):
        count = math.ceil(max(0, length - side) / stride) + 1
        starts.append([stride * i for i in range(count)])
    for corner in torch.cartesian_prod(*map(torch.tensor, starts)).view(-1, len(size)).tolist():
        yield tuple(
            slice(first, min(first + side, length))
            for first, side, length in zip(corner, sides, size, strict=True)
        )
