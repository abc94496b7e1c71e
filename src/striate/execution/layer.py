"""Layers of torch with Striate's operators inside: same weights, same names, same state.

A layer is exchanged by giving the module one of these classes; its parameters, buffers and hooks
are not touched. Each falls back to torch's own operator for whatever ours do not take (another
device or data type, an odd layout), so the answer never depends on more than rounding.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.execution.activation import ACTIVATIONS, GELU, Tanh
from striate.execution.native import operator
from striate.layers import Dropout as OwnDropout

__all__ = [
    "Conv2d",
    "Norm2d",
    "activation_name",
    "offered",
    "plain_class",
    "swapped_class",
]


class Conv2d(nn.Conv2d):
    """A convolution with a chosen method for each direction."""

    striate_plain = nn.Conv2d
    striate_methods: str

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        convolution = operator("convolution")
        if convolution is None or input.ndim != 4:
            plain: Tensor = super()._conv_forward(input, weight, bias)
            return plain
        y: Tensor = convolution(input, weight, bias, *self.sizes())
        return y

    def sizes(self) -> tuple[Any, ...]:
        """Arguments of the operator besides its tensors."""
        lists = (self.stride, self.padding, self.dilation)
        return (*lists, self.groups, self.striate_methods)


def activation_name(layer: nn.Module) -> str | None:
    """The name in ACTIVATIONS of what a layer computes; None if it is none of them."""
    kind = plain_class(layer)
    if kind is nn.GELU:
        return "gelu_tanh" if layer.approximate == "tanh" else "gelu"
    return {nn.ReLU: "relu", nn.SiLU: "silu", nn.Tanh: "tanh"}.get(kind)


class Norm2d(nn.BatchNorm2d):
    """Batch normalisation that can add a residual and apply an activation in the same pass."""

    striate_plain = nn.BatchNorm2d

    def forward(self, input: Tensor, residual: Any = None, activation: str = "none") -> Tensor:
        norm_act = operator("norm_act")
        alike = residual is None or (
            isinstance(residual, Tensor)
            and (residual.shape, residual.dtype) == (input.shape, input.dtype)
        )
        if norm_act is None or not alike or not _is_native(input):
            y = super().forward(input)
            whole: Tensor = ACTIVATIONS[activation](y if residual is None else y + residual)
            return whole
        training = self.training or self.running_mean is None
        keeps = self.running_mean is not None and (not self.training or self.track_running_stats)
        fused: Tensor = norm_act(
            input,
            self.weight,
            self.bias,
            self.running_mean if keeps else None,
            self.running_var if keeps else None,
            training,
            self._share(),
            self.eps,
            activation,
            None if residual is None else residual.contiguous(memory_format=torch.channels_last),
        )
        return fused

    def _share(self) -> float:
        """The weight of a new batch in the running statistics; counts the batch, as torch does."""
        counts = self.training and self.track_running_stats and self.num_batches_tracked is not None
        if counts:
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        if self.momentum is not None:
            return float(self.momentum)
        return 1.0 / float(self.num_batches_tracked) if counts else 0.0  # type: ignore[arg-type]


class MaxPool2d(nn.MaxPool2d):
    """Max pooling that remembers the places of its maxima in a byte each."""

    striate_plain = nn.MaxPool2d

    def forward(self, input: Tensor) -> Tensor:
        pool = operator("max_pool2d")
        if pool is None or not _is_native(input):
            plain: Tensor = super().forward(input)
            return plain
        window = (self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)
        y: Tensor = pool(input, *window)
        return y


class Linear(nn.Linear):
    """A full layer by a matrix product made for few rows and odd sizes."""

    striate_plain = nn.Linear

    def forward(self, input: Tensor) -> Tensor:
        linear = operator("linear")
        if linear is None or input.dtype != torch.float32 or input.device.type != "cpu":
            plain: Tensor = super().forward(input)
            return plain
        y: Tensor = linear(input, self.weight, self.bias)
        return y


class TorchDropout(nn.Dropout):
    """torch's dropout by a generator that counts; another mask of the same chance."""

    striate_plain = nn.Dropout

    def forward(self, input: Tensor) -> Tensor:
        return _dropout(self, input)


class Dropout(OwnDropout):
    """Striate's dropout by a generator that counts."""

    striate_plain = OwnDropout

    def forward(self, x: Tensor) -> Tensor:
        return _dropout(self, x)


def _dropout(layer: Any, x: Tensor) -> Tensor:
    native = operator("dropout")
    if native is None or not layer.training or layer.p == 0:
        return F.dropout(x, layer.p, layer.training)
    y: Tensor = native(x, layer.p)
    return y


def _is_native(x: Tensor) -> bool:
    return (
        x.ndim == 4
        and x.dtype == torch.float32
        and x.device.type == "cpu"
        and x.is_contiguous(memory_format=torch.channels_last)
    )


_CLASSES: dict[str, dict[type[nn.Module], type[nn.Module]]] = {
    "norm": {nn.BatchNorm2d: Norm2d},
    "pool": {nn.MaxPool2d: MaxPool2d},
    "linear": {nn.Linear: Linear},
    "dropout": {nn.Dropout: TorchDropout, OwnDropout: Dropout},
    "activation": {nn.GELU: GELU, nn.Tanh: Tanh},
}


def swapped_class(layer: nn.Module, families: tuple[str, ...]) -> type[nn.Module] | None:
    """The class to exchange a layer's own class for, if one of the families has it."""
    if getattr(layer, "return_indices", False) or getattr(layer, "inplace", False):
        return None  # somebody wants torch's numbering of the maxima, or the input changed
    for family in families:
        found = _CLASSES.get(family, {}).get(type(layer))
        if found is not None:
            return found
    return None


def plain_class(module: nn.Module) -> type[nn.Module]:
    """The class that a module had before anything was exchanged."""
    kind = type(module)
    while "striate_plain" in vars(kind):  # not inherited: another's subclass of it is its own
        kind = kind.striate_plain  # type: ignore[attr-defined]
    return kind


_NEEDS = {
    "norm": "norm_act",
    "pool": "max_pool2d",
    "linear": "linear",
    "dropout": "dropout",
    "activation": "activate",
}


def offered(network: nn.Module) -> tuple[str, ...]:
    """The kinds of layers in a network that have native operators here, besides convolutions."""
    return tuple(
        family
        for family, name in _NEEDS.items()
        if operator(name) is not None
        and any(plain_class(module) in _CLASSES[family] for module in network.modules())
    )
