"""Batch normalisation, a residual and an activation as one operator with two passes each way.

`y = act((x − mean) · weight / deviation + bias + residual)`

Saved for the backward pass are x, the statistics and, where an activation follows, the residual:
the normalised values and the slope of the activation are computed again, which costs less than
memory.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ShapeError
from striate.kernels.operators import native
from striate.kernels.operators.activation import ACTIVATIONS, NUMBERS, require_activation

_STATISTICS = (*[native.POINTER] * 3, native.SIZE, native.SIZE)
_APPLY = (*[native.POINTER] * 7, native.SIZE, native.SIZE, native.INT)
_BACKWARD = (*[native.POINTER] * 11, native.SIZE, native.SIZE, native.INT, native.INT)


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
        x: Values, normalised over all axes but C.
        weight: Factors of the channels; None: 1.
        bias: Numbers added to the channels; None: 0.
        running_mean: Mean that moves towards x's while training, and replaces it otherwise.
        running_var: Variance that moves towards x's unbiased one while training, else replaces it.
        training: Whether x's own statistics are used; without running ones they always are.
        momentum: Share of the new statistics in the running ones.
        eps: Number added to the variance.
        activation: "none", "relu", "gelu", "gelu_tanh", "silu", "tanh" or "relu6".
        residual: Values added before the activation.

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
    fits = fits and all(native.per_channel(values, x.shape[1]) for values in channels)
    if not fits or not native.runs_natively(*tensors) or not native.dense(x):
        training = training or running_mean is None
        z = F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
        return ACTIVATIONS[activation](z if residual is None else z + residual)
    if training or running_mean is None or running_var is None:
        mean, variance = _batch_statistics(x, running_mean, running_var, momentum)
        is_batch = True
    else:
        mean, variance, is_batch = running_mean, running_var, False
    y: Tensor = _NormAct.apply(  # type: ignore[no-untyped-call]
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
    mean, variance = channel_statistics(x)
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
        module: Layer of 1, 2 or 3 dimensions.
        x: Input of the layer.
        activation: Name as in `norm_act`.
        residual: Values added before the activation.

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


def _rows_and_channels(x: Tensor) -> tuple[int, int]:
    return x.numel() // x.shape[1], x.shape[1]


def _dense(image: Tensor | None) -> Tensor | None:
    """The values with their channels last in memory."""
    if image is None or native.dense(image):
        return image
    return image.movedim(1, -1).contiguous().movedim(-1, 1)


def _flat(parameter: Tensor | None) -> Tensor | None:
    return None if parameter is None else parameter.contiguous()


def channel_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and (biased) variance of each channel of dense float32 values."""
    mean, variance = x.new_empty(x.shape[1]), x.new_empty(x.shape[1])
    native.call(
        "norm_statistics",
        _STATISTICS,
        *map(native.pointer, (x, mean, variance)),
        *_rows_and_channels(x),
    )
    return mean, variance


class _NormAct(torch.autograd.Function):
    """`activation((x − mean) / deviation · weight + bias + residual)`.

    With `is_batch` mean and variance are those of x, and the gradient takes that into account.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        residual: Tensor | None,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        variance: Tensor,
        is_batch: bool,
        eps: float,
        activation: str,
    ) -> Tensor:
        inverse = torch.rsqrt(variance.double() + eps).to(variance.dtype).contiguous()
        masking = residual if activation != "none" else None
        ctx.save_for_backward(x, masking, weight, bias, mean, variance)
        ctx.inverse, ctx.rest = inverse, (is_batch, eps, activation)
        y = torch.empty_like(x)
        # The tuple holds what the addresses point at until the call is over.
        kept = (x, _dense(residual), _flat(mean), inverse, _flat(weight), _flat(bias), y)
        pointers = map(native.pointer, kept)
        native.call("norm_apply", _APPLY, *pointers, *_rows_and_channels(x), NUMBERS[activation])
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, residual, weight, bias, mean, variance = ctx.saved_tensors
        is_batch, eps, activation = ctx.rest
        needed = list(ctx.needs_input_grad[:4])
        # Without an activation the residual's gradient is the output's.
        is_plain = needed[1] and activation == "none"
        needed[1] = needed[1] and not is_plain
        if torch.is_grad_enabled() or not native.runs_natively(grad):

            def by_torch(x: Tensor, residual: Any, weight: Any, bias: Any) -> Tensor:
                known = [None, None] if is_batch else [mean, variance]
                z = F.batch_norm(x, known[0], known[1], weight, bias, is_batch, eps=eps)
                return ACTIVATIONS[activation](z if residual is None else z + residual)

            inputs = (x, residual, weight, bias)
            gradients = native.differentiate(by_torch, inputs, needed, grad)
        else:
            gradients = [
                gradient if is_needed else None
                for gradient, is_needed in zip(_backward(ctx, grad, needed), needed, strict=True)
            ]
        gradients[1] = grad if is_plain else gradients[1]
        return *gradients, *[None] * 5


def _backward(ctx: Any, grad: Tensor, needed: Sequence[bool]) -> tuple[Tensor | None, ...]:
    """Gradients of x, residual, weight and bias natively; None for images that are not needed."""
    x, residual, weight, bias, mean, _ = ctx.saved_tensors
    is_batch, _, activation = ctx.rest
    # The lists hold what the addresses point at until the call is over.
    images = [_dense(grad), x, _dense(residual)]
    channels = [_flat(mean), ctx.inverse, _flat(weight), _flat(bias)]
    dx, dresidual = (torch.empty_like(x) if is_needed else None for is_needed in needed[:2])
    dweight, dbias = x.new_empty(x.shape[1]), x.new_empty(x.shape[1])
    pointers = map(native.pointer, (*images, *channels, dx, dresidual, dweight, dbias))
    number = NUMBERS[activation]
    native.call("norm_backward", _BACKWARD, *pointers, *_rows_and_channels(x), number, is_batch)
    return dx, dresidual, dweight, dbias
