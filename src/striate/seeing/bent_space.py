"""The bent space of a hidden layer: what it makes of points and straight lines in the plane.

A network tells classes apart by a last layer that is linear. So what lies before it bends the plane
until straight lines, or planes, are enough; this is where one sees it.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ConfigError
from striate.seeing.region import POINTS_AT_ONCE, Bounds, Inputs, as_they_are, checked_bounds
from striate.seeing.twin import captured, last_call, twin

__all__ = ["BentSpace", "Frame", "bent_space"]

_LINE_POINTS = 101
"""Points of a line of the grid, enough to show how it bends."""


@dataclass(frozen=True)
class Frame:
    """Two directions in the space of a layer's units: the axes of a picture of it."""

    origin: Float[Tensor, "U"]
    """Outputs of the layer that are drawn at (0, 0)."""
    directions: Float[Tensor, "2 U"]
    """Two unit vectors at right angles."""
    share: float
    """Share of the variance of the points' outputs that lies in the plane of the two."""

    @property
    def is_layer(self) -> bool:
        """Whether the axes are the layer's own two units, and nothing is projected."""
        return self.directions.shape[1] == 2


@dataclass(frozen=True)
class BentSpace:
    """The plane as a layer bends it, in the coordinates of a frame."""

    lines: Float[Tensor, "L P 2"]
    """Lines of a square grid: those of equal x from left to right, then those of equal y from low
    to high."""
    points: Float[Tensor, "N 2"]
    frame: Frame


def bent_space(
    network: nn.Module,
    layer: str,
    points: Float[Tensor, "N 2"],
    bounds: Bounds,
    *,
    num_lines: int = 21,
    inputs: Inputs | None = None,
    frame: Frame | None = None,
) -> BentSpace:
    """Points and straight lines of the plane as a layer bends them.

    With two units the axes are these. With more they are the first two principal directions of
    the layer's outputs for `points`; of the two signs of a direction the one whose largest
    component is positive.

    Args:
        network: Any module; left as it is.
        layer: Name of the layer, usually the last hidden one; its last call counts, and maps are
            taken apart into units.
        points: Points of a set.
        bounds: Smallest x, largest x, smallest y, largest y of the lines.
        num_lines: Number of lines in each of the two directions.
        inputs: Function from points to what the network takes; None: the points themselves.
        frame: Axes of another state of the same network, so that the pictures of a training have
            common axes; None: the axes of this state.

    Raises:
        ConfigError: no such layer, a layer of one unit or one that does not run, too few points
            or lines, or the frame of another layer.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2))
        >>> space = bent_space(network, "1", torch.randn(5, 2), (-1, 1, -1, 1))
        >>> tuple(space.lines.shape), tuple(space.points.shape), space.frame.is_layer
        ((42, 101, 2), (5, 2), True)
    """
    if num_lines < 2:
        raise ConfigError(f"num_lines={num_lines} must be 2 or more.")
    copied, inputs = twin(network), inputs or as_they_are
    left, right, low, high = checked_bounds(bounds)
    across, along = torch.linspace(0, 1, num_lines), torch.linspace(0, 1, _LINE_POINTS)
    upright = torch.cartesian_prod(across, along)
    unit = torch.cat([upright, upright.flip(1)])
    corner, sides = torch.tensor([left, low]), torch.tensor([right - left, high - low])
    lines = _outputs(copied, layer, corner + sides * unit, inputs)
    outputs = _outputs(copied, layer, points.detach(), inputs)
    frame = _frame_of(outputs, layer) if frame is None else frame
    if frame.origin.shape != outputs.shape[1:]:
        raise ConfigError(
            f"The frame has {len(frame.origin)} units, and the layer {layer!r} "
            f"{outputs.shape[1]}; a frame is for one layer."
        )
    lines, outputs = ((x - frame.origin) @ frame.directions.T for x in (lines, outputs))
    return BentSpace(lines.view(2 * num_lines, _LINE_POINTS, 2), outputs, frame)


@torch.no_grad()
def _outputs(
    network: nn.Module, layer: str, points: Tensor, inputs: Inputs
) -> Float[Tensor, "N U"]:
    """The outputs of a layer for each point."""
    parts = []
    for part in torch.split(points, POINTS_AT_ONCE):
        with captured(network, layer) as layers:
            network(inputs(part))
        parts.append(last_call(layers, layer).reshape(len(part), -1))
    return torch.cat(parts)


def _frame_of(outputs: Float[Tensor, "N U"], layer: str) -> Frame:
    """A layer's own two units, or the first two principal directions of its outputs."""
    num_points, num_units = outputs.shape
    if num_units == 2:
        return Frame(torch.zeros_like(outputs[0]), torch.eye(2).to(outputs), 1.0)
    if num_units < 2 or num_points < 2:
        raise ConfigError(
            f"{num_points} point(s) and {num_units} unit(s) of {layer!r}: a picture of its space "
            "needs two or more of both."
        )
    centred = (outputs - outputs.mean(0)).double()
    _, lengths, directions = torch.linalg.svd(centred, full_matrices=False)
    pair = directions[:2]
    pair = pair * pair.gather(1, pair.abs().argmax(1, keepdim=True)).sign()
    total = lengths.square().sum()
    share = float(lengths[:2].square().sum() / total) if bool(total > 0) else 1.0
    return Frame(outputs.mean(0), pair.to(outputs.dtype), share)
