"""How the numbers of a tensor are spread, counted in the same bins at every moment."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from striate.errors import ConfigError

__all__ = ["common_edges", "histogram"]


def common_edges(tensors: Sequence[Tensor], bins: int = 64) -> Float[Tensor, "edges"]:
    """Edges of bins of equal width from the smallest finite number of all tensors to the largest.

    Args:
        tensors: A tensor at several moments, in any shape.
        bins: Number of bins.

    Raises:
        ConfigError: no bin, or no finite number.

    Example:
        >>> common_edges([torch.tensor([0.0, 1.0]), torch.tensor([-1.0])], 4).tolist()
        [-1.0, -0.5, 0.0, 0.5, 1.0]
    """
    if bins < 1:
        raise ConfigError(f"bins={bins} must be 1 or more.")
    finite = [
        part for part in (tensor.detach()[tensor.isfinite()] for tensor in tensors) if len(part)
    ]
    if not finite:
        raise ConfigError("There is no finite number, and no bin without one.")
    low = min(float(part.min()) for part in finite)
    high = max(float(part.max()) for part in finite)
    if low == high:  # one number: a bin around it
        low, high = low - 0.5, high + 0.5
    return torch.linspace(low, high, bins + 1, dtype=torch.float64)


def histogram(tensor: Tensor, edges: Float[Tensor, "edges"]) -> Int64[Tensor, "counts"]:
    """Count the numbers of a tensor in bins.

    A number at an edge belongs to the bin above it, at the last edge to the last bin. NaN belongs
    to none.

    Args:
        tensor: Numbers in any shape.
        edges: Edges of the bins, rising; the same ones for all moments that are compared.

    Returns:
        The counts, below the first edge at first, above the last one at last: nothing outside the
        bins is silently left out or put into one of them.

    Raises:
        ConfigError: edges that do not rise.

    Example:
        >>> histogram(torch.tensor([-3.0, 0.1, 0.2, 1.0]), torch.tensor([0.0, 0.5, 1.0])).tolist()
        [1, 2, 1, 0]
    """
    if edges.ndim != 1 or len(edges) < 2 or not bool((edges.diff() > 0).all()):
        raise ConfigError("edges: two or more rising numbers are needed.")
    numbers = tensor.detach().flatten().cpu().double()
    numbers, edges = numbers[~numbers.isnan()], edges.cpu().double()
    where = torch.bucketize(numbers, edges, right=True)
    where[numbers == edges[-1]] = len(edges) - 1
    return torch.bincount(where, minlength=len(edges) + 1)
