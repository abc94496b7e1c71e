"""First weights: by formula (Glorot, Kaiming, orthogonal) or from data (LSUV, whitening).

Each function changes the network in place: the weights of its linear layers and convolutions
(transposed ones too), with their biases at 0. Other layers keep what they have. The numbers
come from a generator named by the seed, so that the same seed gives the same weights.

m is the fan-in, the number of inputs that an output sums over; n is the fan-out.
"""

import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from striate.errors import ConfigError
from striate.optim.preserve import preserved
from striate.randomness import generator


def glorot(network: nn.Module, *, seed: int = 0) -> None:
    """Glorot weights U(±√(6/(m+n))): equal variances forward and backward for linear units.

    Args:
        network: Network, changed in place.
        seed: Random seed of the weights.

    Source: Glorot and Bengio, "Understanding the Difficulty of Training Deep Feedforward Neural
    Networks", 2010, equation 16.
    """

    def draw(layer: nn.Module, weight: Tensor, source: torch.Generator) -> None:
        bound = math.sqrt(6 / sum(fans(layer)))
        weight.uniform_(-bound, bound, generator=source)

    _fill(network, seed, draw)


def kaiming(network: nn.Module, *, slope: float = 0.0, seed: int = 0) -> None:
    """Kaiming weights N(0, 2/((1+a²)m)): equal forward variances through rectifiers.

    Args:
        network: Network, changed in place.
        slope: Slope a, the rectifier's slope below zero; 0 for ReLU, 1 for linear units.
        seed: Random seed of the weights.

    Source: He et al., "Delving Deep into Rectifiers", 2015, equations 10 and 15.
    """

    def draw(layer: nn.Module, weight: Tensor, source: torch.Generator) -> None:
        weight.normal_(0, math.sqrt(2 / ((1 + slope**2) * fans(layer)[0])), generator=source)

    _fill(network, seed, draw)


def orthogonal(network: nn.Module, *, gain: float = math.sqrt(2), seed: int = 0) -> None:
    """Orthogonal weights: rows (or columns, whichever are fewer) of length `gain`, at right angles.

    Args:
        network: Network, changed in place.
        gain: √2 makes up for the half that ReLU cuts off; 1 for linear units and tanh.
        seed: Random seed of the weights.

    Source: Saxe, McClelland and Ganguli, "Exact Solutions to the Nonlinear Dynamics of Learning",
    2014, section 3.
    """

    def draw(layer: nn.Module, weight: Tensor, source: torch.Generator) -> None:
        nn.init.orthogonal_(weight, gain, generator=source)

    _fill(network, seed, draw)


@torch.no_grad()
def lsuv(
    network: nn.Module,
    batch: Float[Tensor, "B *rest"],
    *,
    tolerance: float = 0.01,
    max_trials: int = 10,
    seed: int = 0,
) -> None:
    """Orthogonal weights, each layer then scaled until its outputs on data have variance 1.

    Layers are taken in the order in which the network runs them; a layer whose output is
    constant keeps its weights. The network's mode and buffers are as they were afterwards.

    Args:
        network: Network, changed in place.
        batch: Inputs as the network will see them, normalised.
        tolerance: Largest |variance − 1| that is left alone.
        max_trials: Rescalings of one layer; one is enough unless the layer is used twice.
        seed: Random seed of the weights.

    Source: Mishkin and Matas, "All You Need Is a Good Init", 2016, algorithm 1.
    """
    orthogonal(network, gain=1.0, seed=seed)
    with preserved(network):
        network.train()
        for layer in _in_running_order(network, batch):
            for _ in range(max_trials):
                variance = _output_variance(network, layer, batch)
                if not variance > 0 or abs(variance - 1) <= tolerance:
                    break
                _weight(layer).div_(math.sqrt(variance))


@torch.no_grad()
def whiten(
    network: nn.Module,
    batch: Float[Tensor, "B C *S"],
    *,
    epsilon: float = 0.01,
    slope: float = 0.0,
    seed: int = 0,
) -> None:
    """Kaiming weights, the first layer's from data: its outputs are uncorrelated, of variance 1.

    Args:
        network: Network, changed in place; its first layer is linear, or a convolution without
            groups.
        batch: Inputs as the network will see them, normalised.
        epsilon: Added to the eigenvalues, so that directions without variance are not blown up.
        slope: Slope of the rectifier, for the other layers.
        seed: Random seed of the weights.

    Raises:
        ConfigError: the network has no such first layer.

    Source: Krähenbühl et al., "Data-dependent Initializations of Convolutional Neural Networks",
    2016; the filters and their negatives as in Jordan, "94% on CIFAR-10 in 3.29 Seconds", 2024.
    """
    kaiming(network, slope=slope, seed=seed)
    layer = next(iter(_in_running_order(network, batch)), None)
    weight = None if layer is None else _weight(layer)
    spatial = weight is not None and batch.ndim == weight.ndim
    if layer is None or weight is None or isinstance(layer, _ConvTransposeNd) or not spatial:
        raise ConfigError("Whitening needs a first layer that is a convolution or linear.")
    if weight.shape[1] != batch.shape[1]:
        raise ConfigError("Whitening needs a first layer without groups that takes the batch.")
    filters = whitening_filters(batch, tuple(weight.shape[2:]), epsilon=epsilon)
    both = torch.cat([filters, -filters])[: len(weight)]  # rectifiers lose the negative half
    weight[: len(both)] = both.to(weight)


def whitening_filters(
    images: Float[Tensor, "B C *S"], kernel_size: tuple[int, ...], *, epsilon: float = 0.01
) -> Float[Tensor, "F C *K"]:
    """Filters whose outputs on the images' patches are uncorrelated and of variance 1.

    Args:
        images: Normalised images; () as kernel size takes vectors (B, C).
        kernel_size: Size of the patches, one number per spatial axis.
        epsilon: Added to the eigenvalues λ of the patches' covariance before 1/√λ.

    Returns:
        The eigenvectors over √(λ + ε), largest λ first; F = C · ∏kernel_size.

    Example:
        >>> images = torch.randn(20, 1, 6, 7, generator=torch.Generator().manual_seed(0))
        >>> filters = whitening_filters(images * 5, (2, 2), epsilon=0.0)
        >>> outputs = nn.functional.conv2d(images * 5, filters).transpose(0, 1).flatten(1)
        >>> torch.allclose(outputs.cov(), torch.eye(4), atol=1e-3)
        True
    """
    patches = images
    for axis, size in enumerate(kernel_size):
        patches = patches.unfold(2 + axis, size, 1)
    width = images.shape[1] * math.prod(kernel_size)
    rows = patches.movedim(1, 1 + len(kernel_size)).reshape(-1, width)
    covariance = torch.cov(rows.double().T).reshape(rows.shape[1], rows.shape[1])
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    scaled = vectors / (eigenvalues.clamp(min=0) + epsilon).sqrt()
    filters: Tensor = scaled.T.flip(0).reshape(-1, images.shape[1], *kernel_size)
    return filters.to(images.dtype)


def fans(layer: nn.Module) -> tuple[int, int]:
    """(m, n): how many inputs an output sums over, and how many outputs an input reaches.

    Strides are left out of account, as in the papers; groups are not.

    Example:
        >>> fans(nn.Conv2d(4, 6, (3, 5), groups=2)), fans(nn.Linear(7, 2))
        ((30, 45), (7, 2))
    """
    weight = _weight(layer)
    if not isinstance(layer, _ConvNd):
        return weight.shape[1], weight.shape[0]
    window = math.prod(layer.kernel_size)
    channels = (layer.in_channels // layer.groups, layer.out_channels // layer.groups)
    return channels[0] * window, channels[1] * window


Draw = Callable[[nn.Module, Tensor, torch.Generator], None]


@torch.no_grad()
def _fill(network: nn.Module, seed: int, draw: Draw) -> None:
    for name, layer in network.named_modules():
        if isinstance(layer, (nn.Linear, _ConvNd)):
            weight = _weight(layer)
            draw(layer, weight, generator(seed, "initialise", name, device=weight.device))
            if layer.bias is not None:
                layer.bias.zero_()


def _weight(layer: nn.Module) -> Tensor:
    return layer.get_parameter("weight")


def _in_running_order(network: nn.Module, batch: Tensor) -> list[nn.Module]:
    """The layers with weights, each once, as one forward pass meets them."""
    met: dict[nn.Module, None] = {}

    def note(layer: nn.Module, *_: Any) -> None:
        met.setdefault(layer)

    with ExitStack() as stack, preserved(network):
        for layer in network.modules():
            if isinstance(layer, (nn.Linear, _ConvNd)):
                stack.enter_context(layer.register_forward_pre_hook(note))
        network.train()
        network(batch)
    return list(met)


def _output_variance(network: nn.Module, layer: nn.Module, batch: Tensor) -> float:
    variances: list[float] = []

    def measure(_: nn.Module, __: Any, output: Tensor) -> None:
        variances.append(float(output.var()))

    with layer.register_forward_hook(measure):
        network(batch)
    return variances[0]
