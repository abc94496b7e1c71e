"""Activations by name: torch's own, and the few that it lacks."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ConfigError, ShapeError
from striate.registry import Pick, Registry

__all__ = ["ACTIVATIONS", "Maxout", "RectifiedSigmoid", "RectifiedTanh", "activation"]


class RectifiedTanh(nn.Module):
    """max(0, tanh x): a rectifier that saturates at 1.

    Example:
        >>> RectifiedTanh()(torch.tensor([-1.0, 0.5]))
        tensor([0.0000, 0.4621])
    """

    def forward(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return torch.tanh(x).relu()


class RectifiedSigmoid(nn.Module):
    """max(0, σ(x) − ½): the sigmoid measured from its value at rest, saturating at ½.

    Example:
        >>> RectifiedSigmoid()(torch.tensor([-1.0, 0.5]))
        tensor([0.0000, 0.1225])
    """

    def forward(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return (torch.sigmoid(x) - 0.5).relu()


class Maxout(nn.Module):
    """The largest of each `pieces` neighbouring channels: (B, C, *S) to (B, C/pieces, *S).

    Args:
        pieces: Channels per unit; the layer before it makes that many times the units.

    Raises:
        ShapeError: channels that are not a multiple of `pieces`.

    Source: Goodfellow et al., Maxout Networks (2013).

    Example:
        >>> Maxout(2)(torch.tensor([[1.0, 3.0, -2.0, -5.0]]))
        tensor([[ 3., -2.]])
    """

    def __init__(self, pieces: int = 2) -> None:
        super().__init__()
        if pieces < 1:
            raise ConfigError(f"pieces={pieces} must be 1 or more.")
        self.pieces = pieces

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B M *S"]:
        if x.shape[1] % self.pieces:
            raise ShapeError(
                f"Maxout({self.pieces}) needs a multiple of {self.pieces} channels; what came has "
                f"{x.shape[1]}."
            )
        return x.view(x.shape[0], -1, self.pieces, *x.shape[2:]).amax(2)

    def extra_repr(self) -> str:
        return f"pieces={self.pieces}"


def channel_softmax() -> nn.Module:
    """Softmax over the channels."""
    return nn.Softmax(dim=1)


def gelu(approximate: str = "none") -> nn.Module:
    """GELU with the exact error function, which is also the faster form on a CPU."""
    return nn.GELU(approximate)


ACTIVATIONS: Registry[nn.Module] = Registry(
    "activation",
    {
        "tanh": nn.Tanh,
        "sigmoid": nn.Sigmoid,
        "relu": nn.ReLU,
        "rectified_tanh": RectifiedTanh,
        "rectified_sigmoid": RectifiedSigmoid,
        "leaky_relu": nn.LeakyReLU,
        "prelu": nn.PReLU,
        "elu": nn.ELU,
        "gelu": gelu,
        "silu": nn.SiLU,
        "softmax": channel_softmax,
        "maxout": Maxout,
    },
)


def activation(name: str, **arguments: object) -> nn.Module:
    """The activation of that name.

    Raises:
        ConfigError: an unknown name or argument, with the nearest one.

    Example:
        >>> activation("leaky_relu", negative_slope=0.2)
        LeakyReLU(negative_slope=0.2)
    """
    return ACTIVATIONS.build(Pick(name, **arguments))
