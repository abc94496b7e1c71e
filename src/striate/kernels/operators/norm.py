"""Batch normalisation, a residual and an activation as one operator with two passes each way.

`y = act((x − mean) · weight / deviation + bias + residual)`. Saved for the backward pass are x, the
statistics and, where an activation follows, the residual: the normalised values and the slope of
the activation are computed again, which costs less than memory.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ConfigError, ShapeError, unknown_name
from striate.kernels import library
from striate.kernels.operators.native import (
    INT,
    POINTER,
    SIZE,
    call,
    dense,
    eager,
    pointer,
    transformed,
)
from striate.kernels.operators.registration import define, register

__all__ = ["ACTIVATIONS", "batch_norm_act", "norm_act"]

ACTIVATIONS = ("none", "relu", "gelu", "gelu_tanh", "silu")
"""What may follow the normalisation; the native kernels know them by their place."""

_STATISTICS = (*[POINTER] * 3, SIZE, SIZE)
_APPLY = (*[POINTER] * 7, SIZE, SIZE, INT)
_BACKWARD = (*[POINTER] * 11, SIZE, SIZE, INT, INT)

define(
    "norm_act_train(Tensor x, Tensor? residual, Tensor? weight, Tensor? bias, float eps, "
    "str activation) -> (Tensor, Tensor, Tensor, Tensor)"
)
define(
    "norm_act_eval(Tensor x, Tensor? residual, Tensor mean, Tensor variance, Tensor? weight, "
    "Tensor? bias, float eps, str activation) -> Tensor"
)
define(
    "norm_act_backward(Tensor grad, Tensor x, Tensor? residual, Tensor mean, Tensor inverse, "
    "Tensor? weight, Tensor? bias, float eps, str activation, bool batch, bool data, "
    "bool of_residual) -> (Tensor, Tensor, Tensor, Tensor)"
)


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
        activation: "none", "relu", "gelu", "gelu_tanh" or "silu".
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
    if activation not in ACTIVATIONS:
        raise ConfigError(unknown_name("activation of norm_act", activation, ACTIVATIONS))
    _check(x, residual)
    if transformed():
        z = F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
        return activate(z if residual is None else z + residual, activation)
    operators: Any = _Direct if eager(x) else torch.ops.striate
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


def _check(x: Tensor, residual: Tensor | None) -> None:
    if x.ndim < 2:
        raise ShapeError(f"Batch normalisation takes (B, C, ...); {tuple(x.shape)} came.")
    if residual is not None and residual.shape != x.shape:
        raise ShapeError(
            f"The residual {tuple(residual.shape)} must have the shape of x, {tuple(x.shape)}."
        )


def activate(z: Tensor, activation: str) -> Tensor:
    """The activation by torch's own operators."""
    match activation:
        case "relu":
            return F.relu(z)
        case "gelu":
            return F.gelu(z)
        case "gelu_tanh":
            return F.gelu(z, approximate="tanh")
        case "silu":
            return F.silu(z)
    return z


def gradient(grad: Tensor, z: Tensor, activation: str) -> Tensor:
    """The gradient at z from the one at the activation's output, by torch's own operators."""
    aten = torch.ops.aten
    found: Tensor = grad
    match activation:
        case "relu":
            found = aten.threshold_backward(grad, z, 0)
        case "gelu":
            found = aten.gelu_backward(grad, z)
        case "gelu_tanh":
            found = aten.gelu_backward(grad, z, approximate="tanh")
        case "silu":
            share = z.sigmoid()  # silu_backward cannot be differentiated
            found = grad * share * (1 + z * (1 - share))
    return found


def _native(x: Tensor, *others: Tensor | None) -> bool:
    plain = all(
        t is None or (t.dtype == torch.float32 and t.device.type == "cpu") for t in (x, *others)
    )
    return plain and x.numel() > 0 and library.available() and dense(x)


def _shape(x: Tensor) -> tuple[int, int]:
    return x.numel() // x.shape[1], x.shape[1]


def _like(x: Tensor, other: Tensor | None) -> Tensor | None:
    """`other` with the memory layout of x, whose channels are last."""
    if other is None or dense(other):
        return other
    return other.movedim(1, -1).contiguous().movedim(-1, 1)


def _flat(parameter: Tensor | None) -> Tensor | None:
    return None if parameter is None else parameter.contiguous()


def _apply(
    x: Tensor,
    residual: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    activation: str,
) -> tuple[Tensor, Tensor]:
    """The output, and one over the deviation."""
    inverse = torch.rsqrt(variance.double() + eps).to(variance.dtype)
    y = torch.empty_like(x)
    if _native(x, residual, mean, weight, bias):
        # Each name holds what its address points at until the call is over.
        residual, mean = _like(x, residual), mean.contiguous()
        weight, bias, inverse = _flat(weight), _flat(bias), inverse.contiguous()
        pointers = map(pointer, (x, residual, mean, inverse, weight, bias, y))
        call("norm_apply", _APPLY, *pointers, *_shape(x), ACTIVATIONS.index(activation))
        return y, inverse
    z = F.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)
    y.copy_(activate(z if residual is None else z + residual, activation))
    return y, inverse


def _train(
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    activation: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if _native(x):
        mean, variance = x.new_empty(x.shape[1]), x.new_empty(x.shape[1])
        call("norm_statistics", _STATISTICS, *map(pointer, (x, mean, variance)), *_shape(x))
    else:
        exact = x if x.dtype == torch.float64 else x.float()
        variance, mean = torch.var_mean(exact, _axes(x), correction=0)
    y, inverse = _apply(x, residual, mean, variance, weight, bias, eps, activation)
    return y, mean, inverse, variance


def _eval(x: Tensor, *arguments: Any) -> Tensor:
    return _apply(x, *arguments)[0]


def _backward(
    grad: Tensor,
    x: Tensor,
    residual: Tensor | None,
    mean: Tensor,
    inverse: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    activation: str,
    batch: bool,
    data: bool,
    of_residual: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, residual, weight and bias; empty where not asked for."""
    nothing = x.new_empty(0)
    if _native(x, grad, residual, mean, weight, bias):
        grad, residual = _like(x, grad), _like(x, residual)  # type: ignore[assignment]
        weight, bias = _flat(weight), _flat(bias)
        dx = torch.empty_like(x) if data else None
        dresidual = torch.empty_like(x) if of_residual else None
        dweight, dbias = torch.empty_like(mean), torch.empty_like(mean)
        tensors = (grad, x, residual, mean, inverse, weight, bias, dx, dresidual, dweight, dbias)
        number = ACTIVATIONS.index(activation)
        call("norm_backward", _BACKWARD, *map(pointer, tensors), *_shape(x), number, int(batch))
        return (
            nothing if dx is None else dx,
            nothing if dresidual is None else dresidual,
            dweight,
            dbias,
        )
    statistics = None if batch else (mean, inverse)
    found = _formula(grad, x, residual, weight, bias, statistics, eps, activation)
    dx, dz, dweight, dbias = found
    return (
        torch.empty_like(x).copy_(dx) if data else nothing,
        torch.empty_like(x).copy_(dz) if of_residual else nothing,
        dweight.to(mean.dtype),
        dbias.to(mean.dtype),
    )


def _axes(x: Tensor) -> list[int]:
    return [axis for axis in range(x.ndim) if axis != 1]


def _formula(
    grad: Tensor,
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    statistics: tuple[Tensor, Tensor] | None,
    eps: float,
    activation: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same gradients by torch's operators, which can be differentiated again."""
    axes, view = _axes(x), (1, -1, *[1] * (x.ndim - 2))
    if statistics is None:
        centred = x - x.mean(axes, keepdim=True)
        inverse = (centred.square().mean(axes, keepdim=True) + eps).rsqrt()
    else:
        centred, inverse = x - statistics[0].view(view), statistics[1].view(view)
    normal = centred * inverse
    z = normal if weight is None else normal * weight.view(view)
    z = z if bias is None else z + bias.view(view)
    z = z if residual is None else z + residual
    dz = gradient(grad, z, activation)
    product = dz * normal
    away = dz
    if statistics is None:
        away = dz - dz.mean(axes, keepdim=True) - normal * product.mean(axes, keepdim=True)
    dx = away * inverse if weight is None else away * inverse * weight.view(view)
    return dx, dz, product.sum(axes), dz.sum(axes)


def _fake_train(x: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    kind = x.dtype if x.dtype == torch.float64 else torch.float32
    statistics = [x.new_empty(x.shape[1], dtype=kind) for _ in range(3)]
    return torch.empty_like(x), *statistics  # type: ignore[return-value]


def _fake_eval(x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x)


def _fake_backward(
    grad: Tensor, x: Tensor, residual: Tensor | None, mean: Tensor, *others: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    *_, data, of_residual = others
    images = [torch.empty_like(x) if wanted else x.new_empty(0) for wanted in (data, of_residual)]
    return images[0], images[1], torch.empty_like(mean), torch.empty_like(mean)


def _save(
    ctx: Any,
    x: Tensor,
    residual: Tensor | None,
    mean: Tensor,
    inverse: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    activation: str,
) -> None:
    ctx.with_residual = residual is not None
    kept = residual if activation != "none" else None
    ctx.save_for_backward(x, kept, mean, inverse, weight, bias)
    ctx.eps, ctx.activation = eps, activation


def _gradients(
    ctx: Any, grad: Tensor, batch: bool, needs: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    """Gradients of x, residual, weight and bias, None where `needs` says so."""
    saved = ctx.saved_tensors
    # Without an activation the residual's gradient is the output's.
    of_residual = needs[1] and ctx.activation != "none"
    # Gradients of gradients and compilers need an operator that torch knows.
    direct = eager(grad) and not torch.is_grad_enabled()
    backward: Any = _backward if direct else torch.ops.striate.norm_act_backward
    found = backward(grad, *saved, ctx.eps, ctx.activation, batch, needs[0], of_residual)
    dx, dresidual, dweight, dbias = found
    if needs[1] and not of_residual:
        dresidual = grad
    weight, bias = saved[4], saved[5]
    return (
        dx if needs[0] else None,
        dresidual if needs[1] else None,
        dweight.to(weight.dtype) if needs[2] else None,
        dbias.to(bias.dtype) if needs[3] else None,
    )


def _save_train(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, residual, weight, bias, eps, activation = inputs
    _, mean, inverse, variance = output
    ctx.mark_non_differentiable(mean, inverse, variance)
    _save(ctx, x, residual, mean, inverse, weight, bias, eps, activation)


def _train_gradients(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    return *_gradients(ctx, grad, True, ctx.needs_input_grad[:4]), None, None


def _save_eval(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, residual, mean, variance, weight, bias, eps, activation = inputs
    inverse = torch.rsqrt(variance.detach().double() + eps).to(variance.dtype)
    _save(ctx, x, residual, mean, inverse, weight, bias, eps, activation)


def _eval_gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    need = ctx.needs_input_grad
    dx, dr, dw, db = _gradients(ctx, grad, False, (need[0], need[1], need[4], need[5]))
    return dx, dr, None, None, dw, db, None, None


class _TrainFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:
        output = _train(*inputs)
        _save_train(ctx, inputs, output)
        return output

    backward = staticmethod(_train_gradients)


class _EvalFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        output = _eval(*inputs)
        _save_eval(ctx, inputs, output)
        return output

    backward = staticmethod(_eval_gradients)


class _Direct:
    """The operators for plain eager calls, without dispatch through Python."""

    norm_act_train = staticmethod(_TrainFunction.apply)
    norm_act_eval = staticmethod(_EvalFunction.apply)


def _save_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, eps, activation, batch, data, of_residual = inputs
    ctx.save_for_backward(*tensors)
    ctx.rest = (eps, activation, batch, data, of_residual)


def _second_gradients(ctx: Any, *v: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of the gradients, through the formula in torch's operators."""
    grad, x, residual, mean, inverse, weight, bias = ctx.saved_tensors
    eps, activation, batch, data, of_residual = ctx.rest
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        # A view of its own for each: how the inputs came from each other is not our business.
        inputs: list[Any] = [
            None if t is None else t.view_as(t) if t.requires_grad else t.detach().requires_grad_()
            for t in (grad, x, residual, weight, bias)
        ]
        statistics = None if batch else (mean, inverse)
        found = _formula(*inputs, statistics, eps, activation)  # type: ignore[call-arg]
        wanted = (data, of_residual, True, True)
        pairs = [
            (f, g.to(f.dtype))
            for f, g, w in zip(found, v, wanted, strict=True)
            if w and g is not None
        ]
        known = [t for t in inputs if t is not None]
        results = iter(
            torch.autograd.grad(
                [f for f, _ in pairs],
                known,
                [g for _, g in pairs],
                create_graph=again,
                allow_unused=True,
            )
        )
    second = [None if t is None else next(results) for t in inputs]
    return (*second[:3], None, None, *second[3:], *[None] * 5)


register("norm_act_train", _train, _fake_train, _train_gradients, _save_train, float32=True)
register("norm_act_eval", _eval, _fake_eval, _eval_gradients, _save_eval, float32=True)
register("norm_act_backward", _backward, _fake_backward, _second_gradients, _save_backward)
