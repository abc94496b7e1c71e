"""Regions in which a network decides for a class: of the plane, and between three images.

Grids are in reading order, as pictures are: the first row has the largest y, the first column the
smallest x. A grid is made of cells, and a number belongs to the middle of its cell, so that a
picture with one pixel a cell spans exactly the bounds.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ConfigError
from striate.seeing.target import outputs_of
from striate.seeing.twin import twin

__all__ = [
    "Bounds",
    "ImagePlane",
    "Inputs",
    "decision_regions",
    "grid",
    "image_plane",
]

Bounds = tuple[float, float, float, float]
"""Smallest x, largest x, smallest y, largest y."""
Inputs = Callable[[Tensor], Tensor]
"""Turns points (N, 2) into what a network takes."""

POINTS_AT_ONCE = 4096
_IMAGES_AT_ONCE = 32


def grid(bounds: Bounds, size: tuple[int, int]) -> Float[Tensor, "R C 2"]:
    """The middles of the cells of a rectangle, x and y, in reading order.

    Args:
        bounds: Smallest x, largest x, smallest y, largest y.
        size: Number of rows R and of columns C.

    Raises:
        ConfigError: bounds that enclose nothing, or a size below 1.

    Example:
        >>> grid((0, 4, 0, 2), (1, 2)).tolist()
        [[[1.0, 1.0], [3.0, 1.0]]]
    """
    left, right, low, high = checked_bounds(bounds)
    rows, columns = size
    if rows < 1 or columns < 1:
        raise ConfigError(f"size={size}: rows and columns must be 1 or more.")
    x = left + (right - left) * (torch.arange(columns, dtype=torch.float64) + 0.5) / columns
    y = high - (high - low) * (torch.arange(rows, dtype=torch.float64) + 0.5) / rows
    pairs = torch.stack([x.expand(rows, -1), y[:, None].expand(-1, columns)], dim=2)
    return pairs.to(torch.float32)


def decision_regions(
    network: nn.Module,
    bounds: Bounds,
    size: tuple[int, int] = (101, 101),
    inputs: Inputs | None = None,
) -> Float[Tensor, "R C K"]:
    """The scores of all classes over a rectangle of the plane, in reading order.

    Args:
        network: Any module that gives K scores for a point; left as it is.
        bounds: Smallest x, largest x, smallest y, largest y.
        size: Number of rows R and of columns C.
        inputs: Function from points (N, 2) to what the network takes, where that is not the
            points themselves.

    Raises:
        ConfigError: bounds or a size that do not fit, or a network without K scores for a point.

    Example:
        >>> network = nn.Linear(2, 2, bias=False)
        >>> _ = network.weight.data.copy_(torch.eye(2))
        >>> decision_regions(network, (0, 4, 0, 2), (1, 2)).argmax(2).tolist()  # 0: x is larger
        [[0, 0]]
    """
    points = grid(bounds, size).view(-1, 2)
    scores = _scores(twin(network), points, inputs or as_they_are, POINTS_AT_ONCE)
    return scores.view(*size, -1)


@dataclass(frozen=True)
class ImagePlane:
    """The scores of a network over the plane through three images."""

    scores: Float[Tensor, "R C K"]
    """In reading order over `bounds`."""
    bounds: Bounds
    """In units of the distance between two images as the network takes them (Euclidean)."""
    corners: Float[Tensor, "3 2"]
    """The three images' x and y; the first one is at (0, 0), the second one to its right."""
    axes: Float[Tensor, "2 *S"]
    """The image at (x, y) is the first one + x · axes[0] + y · axes[1]."""


def image_plane(
    network: nn.Module,
    images: Float[Tensor, "B *S"],
    size: tuple[int, int] = (101, 101),
    margin: float = 0.25,
) -> ImagePlane:
    """The scores over the plane through three images, with its distances and angles kept.

    Args:
        network: Any module that gives K scores for an image; left as it is.
        images: Three images as the network takes them, B = 3.
        size: Number of rows R and of columns C.
        margin: What is shown beyond the three images, as a share of the width and height that
            they span.

    Raises:
        ConfigError: not three images, or three that span no plane.

    Source: Somepalli et al., Can Neural Nets Learn the Same Model Twice? (2022): the plane
    through three images.
    """
    if len(images) != 3:
        raise ConfigError(f"{len(images)} image(s) came; a plane goes through three.")
    first = images[0].detach()
    # Double precision: the second direction is the small rest of a difference.
    sides = (images[1:].detach() - first).flatten(1).double()
    length = sides[0].norm()
    across = sides[0] / length
    rest = sides[1] - (sides[1] @ across) * across
    height = rest.norm()
    if not (bool(length > 0) and bool(height > 1e-6 * sides[1].norm())):
        raise ConfigError("The three images lie on a line; a plane needs three that differ.")
    axes = torch.stack([across, rest / height]).to(first.dtype)
    foot = sides[1] @ across
    corners = torch.stack(
        [torch.stack([0 * length, 0 * length]), torch.stack([length, 0 * length])]
    )
    corners = torch.cat([corners, torch.stack([foot, height])[None]]).to(first.dtype)
    least, most = corners.amin(0), corners.amax(0)
    beyond = margin * (most - least)
    (left, low), (right, high) = (least - beyond).tolist(), (most + beyond).tolist()
    bounds = (left, right, low, high)

    def inputs(points: Tensor) -> Tensor:
        return first + (points.to(axes) @ axes).view(-1, *first.shape)

    points = grid(bounds, size).view(-1, 2)
    scores = _scores(twin(network), points, inputs, _IMAGES_AT_ONCE)
    return ImagePlane(scores.view(*size, -1), bounds, corners, axes.view(2, *first.shape))


def checked_bounds(bounds: Bounds) -> Bounds:
    """The bounds.

    Raises:
        ConfigError: they enclose nothing.
    """
    left, right, low, high = bounds
    if not (left < right and low < high):
        raise ConfigError(
            f"bounds={bounds}: (left, right, low, high) with left < right, low < high."
        )
    return bounds


def as_they_are(points: Tensor) -> Tensor:
    """Points as they are, for networks that take two numbers."""
    return points


@torch.no_grad()
def _scores(network: nn.Module, points: Tensor, inputs: Inputs, at_once: int) -> Tensor:
    scores = [outputs_of(network, inputs(part)) for part in torch.split(points, at_once)]
    if scores[0].ndim != 2:
        raise ConfigError(
            f"The network gives {tuple(scores[0].shape)}; scores of classes (B, K) are needed."
        )
    return torch.cat(scores)
