"""The filters of the first layers, as images.

Filters that read an image's pixels can be drawn as images themselves: what they look like is what
they respond to. Deeper filters read maps, and cannot.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from striate.errors import ConfigError
from striate.seeing.twin import twin

__all__ = ["Filters", "first_filters", "similar_next"]


@dataclass(frozen=True)
class Filters:
    """The filters of a layer that reads the image."""

    weights: Float[Tensor, "F C *k"]
    """Filters in the layer's own order; C is 1 where each reads one channel of the image alone."""
    order: Int[Tensor, "F"]
    """Numbers of the filters, similar ones next to each other."""
    scale: float
    """The largest absolute weight: 0.5 + 0.5 · weights / scale lies in 0 ... 1 for all filters."""


def first_filters(network: nn.Module, images: Float[Tensor, "B C *S"]) -> dict[str, Filters]:
    """The filters of all layers that read the image itself, by the layers' names.

    These are the convolutions that nothing with weights precedes but normalisations: several where
    they run side by side, and however the image was padded or normalised before. A fully connected
    layer that reads the flattened image has filters as large as the image.

    Args:
        network: Any module; left as it is.
        images: Inputs as the network takes them; the first one is run, its values do not matter.

    Raises:
        ConfigError: a network without such a layer.

    Source: Krizhevsky, Sutskever and Hinton, ImageNet Classification with Deep Convolutional Neural
    Networks (2012), figure 3.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Conv2d(8, 8, 3))
        >>> found = first_filters(network, torch.zeros(1, 3, 9, 9))
        >>> {name: tuple(filters.weights.shape) for name, filters in found.items()}
        {'0': (8, 3, 5, 5)}
    """
    running, first = twin(network), images[:1].detach()
    shape, found = first.shape[1:], dict[str, Filters]()

    def read(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        x = inputs[0] if inputs else None
        # Outputs of layers with weights lose their gradient: an input that has one is the image.
        if isinstance(x, Tensor) and x.requires_grad:
            weights = _as_images(module, x, first)
            if weights is not None:
                order = similar_next(weights)
                found[name] = Filters(weights, order, float(weights.abs().max()))
        return output.detach() if isinstance(output, Tensor) else output

    for name, module in running.named_modules():
        if _mixes(module):
            module.register_forward_hook(
                lambda module, inputs, output, name=name: read(name, module, inputs, output)
            )
    with torch.enable_grad():
        running(first.clone().requires_grad_().clone())
    if not found:
        raise ConfigError(
            f"No convolution of {type(network).__name__} reads the image (of shape "
            f"{tuple(shape)}) itself, so that no filter can be drawn as an image."
        )
    return found


def similar_next(filters: Float[Tensor, "F C *k"]) -> Int[Tensor, "F"]:
    """An order of filters in which similar ones are next to each other.

    It begins with the strongest and goes on to whichever is most like the last, each once. Alike
    are filters of one orientation, frequency and pair of colours, whatever their phase: compared
    are the spectra of the channels and between them, which a shift or a change of sign leaves
    alone.

    Args:
        filters: Weights.

    Example:
        >>> upright = torch.tensor([[-1.0, 1.0], [-1.0, 1.0]])
        >>> similar_next(torch.stack([upright, 0.9 * upright.T, -0.8 * upright])[:, None]).tolist()
        [0, 2, 1]
    """
    spectra = torch.fft.fftn(filters.double(), dim=tuple(range(2, filters.ndim))).flatten(2)
    alike = torch.zeros(len(filters), len(filters), dtype=torch.float64, device=filters.device)
    for values in spectra.unbind(2):
        # The product of two filters' spectra S·Sᴴ at a frequency is |s·t|² of their channels.
        alike += (values @ values.conj().T).abs() ** 2
    strengths = alike.diagonal().sqrt()
    alike = alike / (strengths[:, None] * strengths).clamp(min=torch.finfo(alike.dtype).tiny)
    order = [int(strengths.argmax())]
    left = torch.ones(len(filters), dtype=torch.bool, device=filters.device)
    for _ in range(len(filters) - 1):
        left[order[-1]] = False
        order.append(int(alike[order[-1]].where(left, -torch.inf).argmax()))
    return torch.tensor(order)


def _mixes(module: nn.Module) -> bool:
    """Whether a layer has weights that mix values, unlike a normalisation's."""
    own = module.parameters(recurse=False)
    return isinstance(module, (_ConvNd, nn.Linear)) or any(weight.ndim > 1 for weight in own)


def _as_images(module: nn.Module, x: Tensor, image: Tensor) -> Tensor | None:
    """The weights of a layer as images (F, C, *k); None where they are none."""
    if isinstance(module, nn.Linear):
        is_whole = x.shape == (1, image.numel()) and torch.equal(x.detach(), image.flatten(1))
        return module.weight.detach().clone().view(-1, *image.shape[1:]) if is_whole else None
    if not isinstance(module, _ConvNd) or isinstance(module, _ConvTransposeNd):
        return None
    return module.weight.detach().clone() if x.shape[1] == image.shape[1] else None
