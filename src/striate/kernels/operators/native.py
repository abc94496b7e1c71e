"""Calls of the native library: entry points, pointers, and which tensors it may read."""

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from striate.kernels import library

POINTER, SIZE, INT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
FLOAT, DOUBLE = ctypes.c_float, ctypes.c_double
_WITH_MEMORY = (Tensor, nn.Parameter)


@cache
def _entry(name: str, arguments: tuple[Any, ...], isa: str) -> Callable[..., int]:
    """`isa` is in the cache's key: the library in use may change."""
    native = library.load()
    if native is None:
        raise RuntimeError(library.why_not())
    function: Any = native.function(f"striate_{name}", [*arguments, INT])
    return function  # type: ignore[no-any-return]


def call(name: str, declared: tuple[Any, ...], *arguments: Any) -> None:
    """Run the entry point `striate_<name>` with torch's number of threads as last argument.

    Args:
        name: Name without the prefix.
        declared: Types (ctypes) of the arguments but the last.
        arguments: Numbers, and pointers as integers or None.

    Raises:
        RuntimeError: the kernel refused the arguments; the operators never pass such.
    """
    code = _entry(name, declared, library.isa())(*arguments, torch.get_num_threads())
    if code != 0:
        raise RuntimeError(f"the native kernel {name} refused its arguments: {code}")


def pointer(tensor: Tensor | None) -> int | None:
    """Address of a tensor's first value, or None."""
    return None if tensor is None else tensor.data_ptr()


def channels_last(images: Tensor) -> Tensor:
    """Images whose memory holds them pixel by pixel, which is what native convolutions take."""
    return images.contiguous(memory_format=torch.channels_last)


def new_values(*shape: int) -> Tensor:
    """Memory for native code to write to, whatever torch's default type and device are."""
    return torch.empty(shape, dtype=torch.float32, device="cpu")


def new_images(shape: Sequence[int]) -> Tensor:
    """Memory for images (B, C, H, W) that native code writes pixel by pixel."""
    return torch.empty(shape, dtype=torch.float32, device="cpu", memory_format=torch.channels_last)


def float32_on_cpu(*tensors: Tensor | None) -> bool:
    """Whether native code may read the tensors; None is skipped.

    A subclass of torch's tensors may have no memory, or mean something else by it.
    """
    return all(
        t is None or (type(t) in _WITH_MEMORY and t.dtype == torch.float32 and t.is_cpu)
        for t in tensors
    )


def per_channel(values: Tensor | None, channels: int) -> bool:
    """Whether native code may read a number of each channel, if there are any."""
    return values is None or (values.shape == (channels,) and float32_on_cpu(values))


def dense(tensor: Tensor) -> bool:
    """Whether memory holds a (B, C, *S) or (B, C) tensor pixel by pixel, channels side by side."""
    return tensor.movedim(1, -1).is_contiguous()


def runs_natively(*tensors: Tensor | None) -> bool:
    """Whether a call goes to native code: float32 on a CPU, plain eager execution, a library.

    Compilers, exporters, `torch.func`, forward mode and autocast get torch's own operators, whose
    rules they know.
    """
    return (
        not torch.compiler.is_compiling()
        and float32_on_cpu(*tensors)
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._are_functorch_transforms_active()
        and forward_ad._current_level < 0
        and library.available()
    )


def differentiate(
    function: Callable[..., Tensor], inputs: Sequence[Any], needed: Sequence[bool], grad: Tensor
) -> list[Tensor | None]:
    """Gradients of torch's operators, which can be differentiated again where that is recorded.

    Args:
        function: Function with the values of the native operator.
        inputs: Arguments of the function.
        needed: Whether each of them needs a gradient.
        grad: Gradient of the output.
    """
    if not any(needed):
        return [None] * len(needed)
    is_recorded = torch.is_grad_enabled()
    with torch.enable_grad():
        # A view is a variable of its own, also where one input was computed from another.
        inputs = [None if x is None else x.view_as(x) for x in inputs]
        y = function(*inputs)
    wanted = [x for x, is_needed in zip(inputs, needed, strict=True) if is_needed]
    gradients = iter(torch.autograd.grad(y, wanted, grad, create_graph=is_recorded))
    return [next(gradients) if is_needed else None for is_needed in needed]
