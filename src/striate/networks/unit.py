"""The unit that convolutional networks repeat: 3×3 convolution, batch normalisation, ReLU."""

import itertools

from torch import nn

from striate.layers import batch_norm, conv


def units(
    widths: tuple[int, ...], ndim: int, *, normalise: bool = True, padding: int = 1
) -> nn.Sequential:
    """Build a 3×3 convolution, perhaps batch normalisation, and ReLU from each width to the next.

    Args:
        widths: Channels of the input and of each convolution.
        ndim: Number of spatial dimensions.
        normalise: Whether batch normalisation stands before each ReLU.
        padding: Pixels added at each border.
    """
    layers: list[nn.Module] = []
    for num_in, num_out in itertools.pairwise(widths):
        layer = conv(ndim)(num_in, num_out, 3, padding=padding)
        # U-Net, section 3: deviation sqrt(2/N), N the incoming nodes of a neuron
        nn.init.kaiming_normal_(layer.weight)
        norm = [batch_norm(ndim)(num_out)] if normalise else []
        layers += [layer, *norm, nn.ReLU()]
    return nn.Sequential(*layers)
