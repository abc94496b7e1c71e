"""Every operator of ours as torch's ordinary ones: what an exported program is turned into."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.kernels.operators.activation import after_sum, by_torch
from striate.kernels.operators.norm_passes import all_but_channels

__all__ = ["decompositions"]


def decompositions() -> dict[Any, Any]:
    """Our operators as torch's own: for `ExportedProgram.run_decompositions`, as ONNX needs it.

    Example:
        >>> [str(operator) for operator in decompositions()][:2]
        ['striate.activate.default', 'striate.convolution.default']
    """
    ours = torch.ops.striate
    return {
        ours.activate.default: by_torch,
        ours.convolution.default: _convolution,
        ours.dropout.default: _dropout,
        ours.linear.default: F.linear,
        ours.max_pool2d.default: _max_pool2d,
        ours.norm_act_eval.default: _norm_act_eval,
        ours.norm_act_train.default: _norm_act_train,
    }


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, *sizes: Any) -> Tensor:
    stride, padding, dilation, groups, _ = sizes
    y: Tensor = torch.ops.aten.convolution(
        x, weight, bias, stride, padding, dilation, False, [0, 0], groups
    )
    return y


def _dropout(x: Tensor, seed: Tensor, p: float, channels_last: bool) -> Tensor:
    return F.dropout(x, p)


def _max_pool2d(x: Tensor, *sizes: Any) -> tuple[Tensor, Tensor]:
    """The places of the maxima are for the backward pass, which an exported program has not."""
    y = F.max_pool2d(x, *sizes)
    return y, torch.zeros_like(y, dtype=torch.uint8)


def _norm_act_eval(
    x: Tensor,
    residual: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    activation: str,
) -> Tensor:
    z = F.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)
    return after_sum(z, residual, activation)


def _norm_act_train(
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    activation: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    variance, mean = torch.var_mean(x, all_but_channels(x), correction=0)
    z = F.batch_norm(x, None, None, weight, bias, True, 0.0, eps)
    return after_sum(z, residual, activation), mean, (variance + eps).rsqrt(), variance
