"""The cost of one operation: its multiply-adds, and the numbers that it reads and writes.

Counted are sums of products of two tensors: matrix products and convolutions. Operations that are
known to have none cost nothing: element by element, sums, poolings, norms, interpolation, all that
only moves numbers. Whatever is on neither list is not taken for free: it is named.
"""

from typing import Any

import torch
from torch import Tensor

from striate.layers.geometry.track import RULES, tensors

_CONVOLUTIONS = frozenset(("convolution", "_convolution"))
_PRODUCTS = frozenset(("mm", "bmm", "addmm", "baddbmm", "mv", "addmv", "dot"))

_FREE_NAMES = (
    "arange bernoulli empty empty_like empty_strided eye full full_like linspace new_empty "
    "new_empty_strided new_full new_ones new_zeros normal ones ones_like rand rand_like randn "
    "randn_like randperm scalar_tensor tril triu uniform zeros zeros_like "
    "_local_scalar_dense all any argmax argmin argsort bincount bucketize channel_shuffle col2im "
    "count_nonzero cummax cummin cumprod diagonal_copy fill flip glu im2col index_add index_copy "
    "index_fill index_put item linalg_vector_norm log_sigmoid_forward logcumsumexp masked_fill "
    "masked_scatter masked_select native_channel_shuffle nonzero norm one_hot pixel_shuffle "
    "pixel_unshuffle repeat repeat_interleave resize roll scatter scatter_add scatter_reduce "
    "searchsorted set sort std_mean topk tile unique_dim _unique2 unsafe_chunk unsafe_split "
    "unsafe_split_with_sizes zero"
)
"""Operations without products, beside those whose fields are followed and those element by
element."""
_FREE = frozenset(_FREE_NAMES.split())

_VIEWS = frozenset(("_unsafe_view", "_reshape_alias", "alias", "detach", "lift_fresh"))


def multiply_adds(
    operation: Any, name: str, arguments: dict[str, Any], output: Tensor
) -> int | None:
    """Multiply-adds of an operation on the whole batch, without a bias; None: nobody knows.

    Args:
        operation: torch's own description of it.
        name: Its name in aten, or with the namespace if it has another.
        arguments: By their names.
        output: The first output.
    """
    if name in _CONVOLUTIONS:
        side = arguments["input"] if arguments["transposed"] else output
        return int(arguments["weight"].numel() * side.shape[0] * side[0, 0].numel())
    if name in _PRODUCTS:
        return int(output.numel() * tensors(arguments)[-2].shape[-1])
    if name == "linear":
        return int(output.numel() * arguments["input"].shape[-1])
    is_free = (
        operation.is_view
        or torch.Tag.pointwise in operation.tags
        or name in RULES
        or name in _FREE
        or name in _VIEWS
    )
    return 0 if is_free else None


def moves_numbers(operation: Any, name: str) -> bool:
    """Whether the operation reads and writes memory, rather than describing it anew."""
    return not operation.is_view and name not in _VIEWS


def num_bytes(*values: Tensor | None) -> int:
    """Bytes of tensors, each counted once."""
    each = {id(value): value for value in values if value is not None}
    return sum(value.numel() * value.element_size() for value in each.values())
