"""Losses between a restored image, or other numbers, and the true ones."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from striate.errors import ConfigError
from striate.losses.reduction import Reduction, check_same_shape, reduce_loss

__all__ = ["charbonnier_loss", "huber_loss", "l1_loss", "l2_loss"]


def l1_loss(
    image: Float[Tensor, "*any"], target: Float[Tensor, "..."], *, reduction: Reduction = "mean"
) -> Float[Tensor, "..."]:
    """|d| of each value; its minimum is the median.

    Example:
        >>> import torch
        >>> l1_loss(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 5.0]))
        tensor(1.5000)
    """
    return reduce_loss(_difference(image, target).abs(), reduction)


def l2_loss(
    image: Float[Tensor, "*any"], target: Float[Tensor, "..."], *, reduction: Reduction = "mean"
) -> Float[Tensor, "..."]:
    """d² of each value; its minimum is the mean.

    Example:
        >>> import torch
        >>> l2_loss(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 5.0]))
        tensor(2.5000)
    """
    return reduce_loss(_difference(image, target).square(), reduction)


def charbonnier_loss(
    image: Float[Tensor, "*any"],
    target: Float[Tensor, "..."],
    *,
    reduction: Reduction = "mean",
    epsilon: float = 1e-3,
) -> Float[Tensor, "..."]:
    """√(d² + ε²) of each value: L1 with a round bottom.

    Args:
        image: The restored one, of any shape.
        target: The true one, the same shape.
        reduction: "none" keeps the shape.
        epsilon: ε, the width of the bottom in the unit of the values; 10⁻³ is the source's.

    Source: Lai et al., Deep Laplacian Pyramid Networks (2017), eq. 3, after Charbonnier (1994).

    Example:
        >>> import torch
        >>> charbonnier_loss(torch.tensor([3.0]), torch.tensor([0.0]), epsilon=4.0)
        tensor(5.)
    """
    if epsilon <= 0:
        raise ConfigError(f"epsilon={epsilon} must be above 0; l1_loss is the limit at 0.")
    return reduce_loss((_difference(image, target).square() + epsilon**2).sqrt(), reduction)


def huber_loss(
    image: Float[Tensor, "*any"],
    target: Float[Tensor, "..."],
    *,
    reduction: Reduction = "mean",
    delta: float = 1.0,
) -> Float[Tensor, "..."]:
    """Huber's loss: ½d² where |d| < δ, else δ (|d| − δ/2), so that outliers pull less.

    Args:
        image: The restored one, or other numbers, of any shape.
        target: The true one, the same shape.
        reduction: "none" keeps the shape.
        delta: δ, the distance at which the parabola passes into the straight line.

    Source: Huber, "Robust estimation of a location parameter" (1964).

    Example:
        >>> import torch
        >>> huber_loss(torch.tensor([0.5, 3.0]), torch.tensor([0.0, 0.0]), reduction="none")
        tensor([0.1250, 2.5000])
    """
    if delta <= 0:
        raise ConfigError(f"delta={delta} must be above 0; l1_loss is the limit at 0.")
    check_same_shape(image, target, "An image")
    return reduce_loss(F.huber_loss(image, target, reduction="none", delta=delta), reduction)


def _difference(image: Tensor, target: Tensor) -> Tensor:
    check_same_shape(image, target, "An image")
    return image - target
