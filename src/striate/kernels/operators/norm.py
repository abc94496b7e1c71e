"""Batch normalisation, a residual and an activation as one operator with two passes each way.

`y = act((x − mean) · weight / deviation + bias + residual)`; norm_passes.py has the passes.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ShapeError
from striate.kernels.operators.activation import ACTIVATIONS, require_activation
from striate.kernels.operators.native import dense, per_channel, runs_natively
from striate.kernels.operators.norm_passes import NormAct, statistics


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
    residual: Float[Tensor, "..."] | None = None,
) -> Float[Tensor, "B C *S"]:
    """`activation(batch_norm(x) + residual)`, in as few passes over memory as there can be.

    float32 with the channels last in memory runs natively on a CPU; all else torch's operators.
    Deviations are summed about the mean of each block of pixels and joined in double precision:
    mean and variance are the float32 numbers nearest to the exact ones but for a unit or two, also
    where the mean is a thousand times the deviation. The same input gives the same bits for any
    number of threads.

    Args:
        x: values, normalised over all axes but C.
        weight: factor of each channel, none is 1.
        bias: added to each channel, none is 0.
        running_mean: moved towards x's mean while training, used instead of it otherwise.
        running_var: moved towards x's unbiased variance while training, used otherwise.
        training: normalise by x's own statistics; without running statistics this is always so.
        momentum: share of the new statistics in the running ones.
        eps: added to the variance.
        activation: "none", "relu", "gelu", "gelu_tanh", "silu" or "tanh".
        residual: added before the activation.

    Raises:
        ConfigError: an activation that does not exist.
        ShapeError: one value a channel, which has no deviation.

    Source: Ioffe and Szegedy, Batch Normalization (2015), algorithm 1; moments joined as in Chan,
    Golub and LeVeque, Updating formulae and a pairwise algorithm for variances (1979).

    Example:
        >>> x = torch.randn(2, 3, 5, 7)
        >>> y = norm_act(x, activation="relu", residual=x)
        >>> torch.allclose(y, torch.relu(F.batch_norm(x, None, None, training=True) + x), atol=1e-5)
        True
    """
    require_activation(activation, "norm_act")
    channels = (weight, bias, running_mean, running_var)
    tensors = (x,) if residual is None else (x, residual)
    fits = x.ndim >= 2 and x.numel() > 0 and all(t.shape == x.shape for t in tensors)
    fits = fits and all(per_channel(values, x.shape[1]) for values in channels)
    if not fits or not runs_natively(*tensors) or not dense(x):
        training = training or running_mean is None
        z = F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
        return ACTIVATIONS[activation](z if residual is None else z + residual)
    if training or running_mean is None or running_var is None:
        mean, variance = _batch_statistics(x, running_mean, running_var, momentum)
        is_batch = True
    else:
        mean, variance, is_batch = running_mean, running_var, False
    y: Tensor = NormAct.apply(  # type: ignore[no-untyped-call]
        x, residual, weight, bias, mean, variance, is_batch, eps, activation
    )
    return y


@torch.no_grad()
def _batch_statistics(
    x: Tensor, running_mean: Tensor | None, running_var: Tensor | None, momentum: float
) -> tuple[Tensor, Tensor]:
    """Mean and variance of a batch; the running statistics move towards them."""
    count = x.numel() // x.shape[1]
    if count == 1:
        raise ShapeError(
            f"Batch normalisation of {tuple(x.shape)} has one value a channel, which has no "
            "deviation. Use a larger batch or image, or eval mode."
        )
    mean, variance = statistics(x)
    if running_mean is not None and running_var is not None:
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(variance * (count / (count - 1)), momentum)
    return mean, variance


def batch_norm_act(
    module: nn.modules.batchnorm._BatchNorm,
    x: Float[Tensor, "B C *S"],
    activation: str = "none",
    residual: Float[Tensor, "..."] | None = None,
) -> Float[Tensor, "B C *S"]:
    """`norm_act` with the parameters, statistics and mode of a `nn.BatchNorm` module.

    The module's count of batches is updated, and `momentum=None` averages over all of them.

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
    is_kept = module.track_running_stats or not module.training
    return norm_act(
        x,
        module.weight,
        module.bias,
        module.running_mean if is_kept else None,
        module.running_var if is_kept else None,
        module.training,
        momentum,
        module.eps,
        activation,
        residual,
    )
