"""Batch normalisation, a residual and an activation as one operator with two passes each way.

`y = act((x − mean) · weight / deviation + bias + residual)`. What it computes is in norm_passes.py,
what autograd and compilers are told in norm_autograd.py.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ShapeError
from striate.kernels.operators.activation import after_sum, require_activation
from striate.kernels.operators.native import eager, transformed
from striate.kernels.operators.norm_autograd import Direct

__all__ = ["batch_norm_act", "norm_act"]


def norm_act(
    x: Float[Tensor, "B C *S"],
    weight: Float[Tensor, " C"] | None = None,
    bias: Float[Tensor, " C"] | None = None,
    running_mean: Float[Tensor, " C"] | None = None,
    running_var: Float[Tensor, " C"] | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    activation: str = "none",
    residual: Float[Tensor, "B C *S"] | None = None,
) -> Float[Tensor, "B C *S"]:
    """`activation(batch_norm(x) + residual)`, in as few passes over memory as there can be.

    float32 with the channels last in memory runs natively on a CPU; all else torch's operators.
    Deviations are summed about the mean of each block of pixels and joined in double precision:
    mean and variance are the float32 numbers nearest to the exact ones but for a unit or two, also
    where the mean is a thousand times the deviation. The same input gives the same bits for any
    number of threads.

    Args:
        x: what is normalised over all axes but C.
        weight: factor of each channel, none is 1.
        bias: added to each channel, none is 0.
        running_mean: moved towards x's mean while training, used instead of it otherwise.
        running_var: the same for the (unbiased) variance.
        training: normalise by x's own statistics; without running statistics this is always so.
        momentum: share of the new statistics in the running ones.
        eps: added to the variance.
        activation: "none", "relu", "gelu", "gelu_tanh", "silu" or "tanh".
        residual: added before the activation.

    Raises:
        ConfigError: an activation that does not exist.
        ShapeError: one value a channel, which has no deviation, or shapes that do not fit.

    Source: Ioffe and Szegedy, Batch Normalization (2015), algorithm 1; moments joined as in Chan,
    Golub and LeVeque, Updating formulae and a pairwise algorithm for variances (1979).

    Example:
        >>> x = torch.randn(2, 3, 5, 7)
        >>> y = norm_act(x, activation="relu", residual=x)
        >>> torch.allclose(y, torch.relu(F.batch_norm(x, None, None, training=True) + x), atol=1e-5)
        True
    """
    require_activation(activation, "norm_act")
    channels = {
        "weight": weight,
        "bias": bias,
        "running_mean": running_mean,
        "running_var": running_var,
    }
    _check(x, residual, channels)
    if transformed():
        z = F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
        return after_sum(z, residual, activation)
    operators: Any = Direct if eager(x) else torch.ops.striate
    y: Tensor
    if not training and running_mean is not None and running_var is not None:
        y = operators.norm_act_eval(
            x, residual, running_mean, running_var, weight, bias, eps, activation
        )
        return y
    count = x.numel() // max(x.shape[1], 1)
    if count == 1:
        raise ShapeError(
            f"Batch normalisation of {tuple(x.shape)} has one value a channel, which has no "
            "deviation. Use a larger batch or image, or eval mode."
        )
    y, mean, _, variance = operators.norm_act_train(x, residual, weight, bias, eps, activation)
    if training and running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.detach().to(running_mean.dtype), momentum)
            unbiased = variance.detach().to(running_var.dtype) * (count / (count - 1))
            running_var.lerp_(unbiased, momentum)
    return y


def batch_norm_act(
    module: nn.modules.batchnorm._BatchNorm,
    x: Float[Tensor, "B C *S"],
    activation: str = "none",
    residual: Float[Tensor, "B C *S"] | None = None,
) -> Float[Tensor, "B C *S"]:
    """`norm_act` with the parameters, statistics and mode of a `nn.BatchNorm` module.

    The module's count of batches goes on, and `momentum=None` averages over all of them.

    Args:
        module: of 1, 2 or 3 dimensions.
        x: its input.
        activation: as in `norm_act`.
        residual: added before the activation.

    Example:
        >>> module = nn.BatchNorm2d(3)
        >>> batch_norm_act(module, torch.randn(2, 3, 5, 7), "silu").shape
        torch.Size([2, 3, 5, 7])
    """
    momentum = 0.0 if module.momentum is None else module.momentum
    if module.training and module.track_running_stats and module.num_batches_tracked is not None:
        module.num_batches_tracked.add_(1)
        if module.momentum is None:
            momentum = 1.0 / float(module.num_batches_tracked)
    return norm_act(
        x,
        module.weight,
        module.bias,
        module.running_mean,
        module.running_var,
        module.training,
        momentum,
        module.eps,
        activation,
        residual,
    )


def _check(x: Tensor, residual: Tensor | None, channels: dict[str, Tensor | None]) -> None:
    if x.ndim < 2:
        raise ShapeError(f"Batch normalisation takes (B, C, ...); {tuple(x.shape)} came.")
    if residual is not None and residual.shape != x.shape:
        raise ShapeError(
            f"The residual {tuple(residual.shape)} must have the shape of x, {tuple(x.shape)}."
        )
    for name, values in channels.items():
        if values is not None and values.shape != x.shape[1:2]:
            raise ShapeError(
                f"The {name} {tuple(values.shape)} must have a number for each of the "
                f"{x.shape[1]} channels of x, {tuple(x.shape)}."
            )
