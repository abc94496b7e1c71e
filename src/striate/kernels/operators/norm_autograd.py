"""A fused normalisation as torch's operators: signatures, shapes, gradients and their gradients.

Saved for the backward pass are x, the statistics and, where an activation follows, the residual:
the normalised values and the slope of the activation are computed again, which costs less than
memory.
"""

from typing import Any

import torch
from torch import Tensor

from striate.kernels.operators.native import eager_gradient, own_view
from striate.kernels.operators.norm_passes import backward, evaluate, formula, train
from striate.kernels.operators.registration import define, register

__all__ = ["Direct"]

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
    run: Any = backward if eager_gradient(grad) else torch.ops.striate.norm_act_backward
    found = run(grad, *saved, ctx.eps, ctx.activation, batch, needs[0], of_residual)
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
        output = train(*inputs)
        _save_train(ctx, inputs, output)
        return output

    backward = staticmethod(_train_gradients)


class _EvalFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        output = evaluate(*inputs)
        _save_eval(ctx, inputs, output)
        return output

    backward = staticmethod(_eval_gradients)


class Direct:
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
        inputs: list[Any] = [
            None if t is None else own_view(t) for t in (grad, x, residual, weight, bias)
        ]
        statistics = None if batch else (mean, inverse)
        found = formula(*inputs, statistics, eps, activation)  # type: ignore[call-arg]
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


register("norm_act_train", train, _fake_train, _train_gradients, _save_train, float32=True)
register("norm_act_eval", evaluate, _fake_eval, _eval_gradients, _save_eval, float32=True)
register("norm_act_backward", backward, _fake_backward, _second_gradients, _save_backward)
