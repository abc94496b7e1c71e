"""Layers of torch with native operators inside: same weights, same names, same state.

`striate.execution` exchanges the classes of a network's layers for these; parameters, buffers and
hooks are not touched. Whatever native code does not take (another device or data type, another
memory layout) goes to torch's own operator, so results differ by rounding only.

`norm_act` and `NativeSequential` join a normalisation with the layers around it: the convolution
before, a residual and the activation after. On layers of torch they call one layer after the other.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from striate import kernels
from striate.layers.dropout import Dropout

__all__ = [
    "NATIVE",
    "NativeConv2d",
    "NativeNorm2d",
    "NativeSequential",
    "native_sequence",
    "norm_act",
]


class NativeConv2d(nn.Conv2d):
    """A convolution with a chosen method for each direction, in `striate_methods`."""

    striate_methods: str

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return kernels.convolution(input, weight, bias, *self.sizes())

    def sizes(self) -> tuple[Any, ...]:
        """Stride, padding, dilation, groups and methods."""
        lists = (self.stride, self.padding, self.dilation)
        return (*lists, self.groups, self.striate_methods)


class NativeNorm2d(nn.BatchNorm2d):
    """Batch normalisation that can add a residual and apply an activation in the same pass."""

    def forward(
        self, input: Tensor, activation: str = "none", residual: Tensor | None = None
    ) -> Tensor:
        self._check_input_dim(input)
        return kernels.batch_norm_act(self, input, activation, residual)


class NativeMaxPool2d(nn.MaxPool2d):
    """Max pooling that remembers the position of each maximum in a byte."""

    def forward(self, input: Tensor) -> Tensor:
        window = (self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)
        return kernels.max_pool2d(input, *window)


class NativeLinear(nn.Linear):
    """A fully connected layer by a matrix product made for few rows and odd sizes."""

    def forward(self, input: Tensor) -> Tensor:
        return kernels.linear(input, self.weight, self.bias)


class _NativeDropout(nn.Module):
    p: float

    def forward(self, input: Tensor) -> Tensor:
        return kernels.dropout(input, self.p) if self.training and self.p > 0 else input


class NativeTorchDropout(_NativeDropout, nn.Dropout):
    """torch's dropout with a counter-based generator: another mask of the same probability."""


class NativeDropout(_NativeDropout, Dropout):
    """Striate's dropout with a counter-based generator."""


class NativeGELU(nn.GELU):
    """GELU, exact or in its tanh form."""

    def forward(self, input: Tensor) -> Tensor:
        return kernels.activate(input, "gelu_tanh" if self.approximate == "tanh" else "gelu")


class NativeTanh(nn.Tanh):
    """The hyperbolic tangent."""

    def forward(self, input: Tensor) -> Tensor:
        return kernels.activate(input, "tanh")


class NativeSequential(nn.Sequential):
    """A sequence whose normalisations run together with the layers around them."""

    def forward(self, input: Any) -> Any:
        x, layers = input, list(self)
        while layers:
            joined = [type(layer) for layer in layers[:2]] == [NativeConv2d, NativeNorm2d]
            conv = layers.pop(0) if joined else None
            layer = layers.pop(0)
            if type(layer) is not NativeNorm2d:
                x = layer(x)
                continue
            is_known = bool(layers) and _activation_name(layers[0]) is not None
            x = norm_act(layer, x, layers.pop(0) if is_known else None, conv=conv)
        return x


def native_sequence(own: type[nn.Module]) -> type[nn.Module]:
    """`NativeSequential` for `nn.Sequential`; of a subclass, a subclass that runs as it does.

    Args:
        own: class whose `forward` is that of `nn.Sequential`. A module of the subclass is pickled
            by the name of this one.

    Example:
        >>> class Stem(nn.Sequential):
        ...     stride = 4
        >>> native_sequence(Stem).stride, native_sequence(Stem).striate_plain is Stem
        (4, True)
    """
    if own in _SEQUENCES:
        return _SEQUENCES[own]

    def reduce(module: nn.Module, protocol: object) -> tuple[Any, ...]:
        return _empty_native_sequence, (own,), module.__dict__

    members = {
        "forward": NativeSequential.forward,
        "striate_plain": own,
        "__reduce_ex__": reduce,
        "__module__": own.__module__,
    }
    return _SEQUENCES.setdefault(own, type(own.__name__, (own,), members))


_SEQUENCES: dict[type[nn.Module], type[nn.Module]] = {nn.Sequential: NativeSequential}


def _empty_native_sequence(own: type[nn.Module]) -> nn.Module:
    kind = native_sequence(own)
    return kind.__new__(kind)


NATIVE: dict[str, dict[type[nn.Module], type[nn.Module]]] = {
    "norm": {nn.BatchNorm2d: NativeNorm2d},
    "pool": {nn.MaxPool2d: NativeMaxPool2d},
    "linear": {nn.Linear: NativeLinear},
    "dropout": {nn.Dropout: NativeTorchDropout, Dropout: NativeDropout},
    "activation": {nn.GELU: NativeGELU, nn.Tanh: NativeTanh},
}
"""The native class of each class, by kind of layer."""

_NAMES: dict[Any, str] = {
    type(None): "none",
    F.relu: "relu",
    torch.relu: "relu",
    nn.ReLU: "relu",
    F.relu6: "relu6",
    nn.ReLU6: "relu6",
    nn.SiLU: "silu",
    nn.Tanh: "tanh",
    NativeTanh: "tanh",
}


def norm_act(
    norm: nn.Module,
    x: Tensor,
    activation: Callable[[Tensor], Tensor] | None = None,
    *,
    conv: nn.Module | None = None,
    residual: Tensor | None = None,
) -> Tensor:
    """`activation(norm(conv(x)) + residual)`, in fewer passes where the layers are native.

    Layers of torch, and layers with hooks, are called one after the other.

    Args:
        norm: normalisation.
        x: input (B, C, *S) of the convolution, or of the normalisation where there is none.
        activation: layer or function; None: the identity.
        conv: convolution before the normalisation; None: there is none.
        residual: values of the output's shape, added before the activation.

    Example:
        >>> import torch
        >>> norm, x = nn.BatchNorm2d(3).eval(), torch.randn(2, 3, 5, 7)
        >>> torch.equal(norm_act(norm, x, nn.ReLU(), residual=x), torch.relu(norm(x) + x))
        True
    """
    name = _activation_name(activation)
    if name is not None and type(norm) is NativeNorm2d and not _has_hooks(conv, norm, activation):
        if type(conv) is NativeConv2d:
            kernel = (conv.weight, conv.bias, conv.sizes())
            y = kernels.convolution_norm_act(x, *kernel, norm, name, residual)
            if y is not None:
                return y
        return norm.forward(x if conv is None else conv(x), name, residual)
    x = norm(x if conv is None else conv(x))
    x = x if residual is None else x + residual
    return x if activation is None else activation(x)


def _activation_name(activation: Callable[[Tensor], Tensor] | None) -> str | None:
    """The name by which the kernels know a layer or function; None where they do not."""
    if isinstance(activation, nn.GELU):
        return "gelu_tanh" if activation.approximate == "tanh" else "gelu"
    return _NAMES.get(activation, _NAMES.get(type(activation)))


def _has_hooks(*layers: object) -> bool:
    """Whether something listens to the calls of a layer, or replaces them."""
    return bool(_has_any_global_hook()) or any(  # type: ignore[no-untyped-call]
        isinstance(layer, nn.Module)
        and (
            "forward" in layer.__dict__
            or layer._forward_hooks
            or layer._forward_pre_hooks
            or layer._backward_hooks
            or layer._backward_pre_hooks
        )
        for layer in layers
    )
