"""The map of an image of any size: sides padded to the network's stride, large images in tiles.

A tile starts at a multiple of the total stride, so that poolings meet the same pixels as in the
whole image, and reaches beyond what is kept of it by the receptive field, so that its own border is
never seen. The tiles together are the map of the whole image, but for rounding.
"""

import copy
from collections.abc import Iterator
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from striate.errors import ShapeError
from striate.execution import restore
from striate.layers.geometry import AxisField, receptive_field

_PIXELS = 2**20
"""Pixels of a tile at most, where the receptive field leaves that choice."""
_AT_ONCE = 2**22
"""Pixels of all images that are computed together."""
_PROBE = 512
"""Side of the image on which receptive fields are followed; larger ones are taken for global."""


class Reach(NamedTuple):
    """The input that an output pixel depends on, along one axis."""

    stride: int
    """Pixels after which windows of all layers meet again."""
    before: int
    """Pixels before the output pixel that it may depend on; a multiple of the stride."""
    after: int
    """Pixels after it, likewise."""


_known: "WeakKeyDictionary[nn.Module, tuple[Reach, Reach] | None]" = WeakKeyDictionary()


def map_of(
    network: nn.Module, images: Float[Tensor, "B C H W"], *, most_pixels: int = _PIXELS
) -> Float[Tensor, "B K H W"]:
    """The scores of each pixel, of images of any size.

    Sides that are no multiples of the network's stride are padded with their last pixels, and the
    scores of these cut off. An image of more than `most_pixels` is computed in tiles, unless the
    network's receptive field has no bounds.

    Args:
        network: Network whose map has the size of its input.
        images: Images, normalised.
        most_pixels: Pixels of a tile at most.
    """
    height, width = images.shape[2:]
    reaches = _reaches(network, images.shape[1])
    if reaches is None:
        return torch.cat([network(some) for some in _at_once(images)])
    ends = [-side % reach.stride for side, reach in zip((height, width), reaches, strict=True)]
    padded = functional.pad(images, (0, ends[1], 0, ends[0]), mode="replicate")
    maps = [_tiled(network, some, reaches, most_pixels) for some in _at_once(padded)]
    return torch.cat(maps)[:, :, :height, :width]


def _at_once(images: Tensor) -> Iterator[Tensor]:
    size = images.shape[2] * images.shape[3]
    yield from torch.split(images, max(1, _AT_ONCE // size))


def _tiled(
    network: nn.Module, images: Tensor, reaches: tuple[Reach, Reach], most_pixels: int
) -> Tensor:
    height, width = images.shape[2:]
    if height * width <= most_pixels:
        scores: Tensor = network(images)
        return scores
    rows = []
    for top, first, last, bottom in _spans(height, reaches[0], most_pixels):
        row = []
        for left, start, end, right in _spans(width, reaches[1], most_pixels):
            tile = network(images[:, :, top:bottom, left:right])
            row.append(tile[:, :, first - top : last - top, start - left : end - left])
        rows.append(torch.cat(row, dim=3))
    return torch.cat(rows, dim=2)


def _spans(length: int, reach: Reach, most_pixels: int) -> Iterator[tuple[int, int, int, int]]:
    """Tiles along an axis: where each begins, the first and the end of what is kept, its end."""
    stride, before, after = reach
    kept = max(stride, int(most_pixels**0.5) // stride * stride - before - after)
    for first in range(0, length, kept):
        last = min(length, first + kept)
        yield max(0, first - before), first, last, min(length, last + after)


def _reaches(network: nn.Module, channels: int) -> tuple[Reach, Reach] | None:
    """The reach of a network along rows and columns; None where it has no bounds."""
    if network not in _known:
        # Striate's own operators give way to torch's, which can be followed.
        plain = restore(copy.deepcopy(network)).eval()
        try:
            rows, columns = map(_reach, receptive_field(plain, (channels, _PROBE, _PROBE)))
        except ShapeError:
            rows = columns = None
        bounded = rows is not None and columns is not None and _is_local(plain, channels, columns)
        _known[network] = (rows, columns) if bounded else None  # type: ignore[assignment]
    return _known[network]


def _is_local(network: nn.Module, channels: int, reach: Reach) -> bool:
    """Whether the end of an image changes nothing beyond the reach, as a mean over it would."""
    parameter = next(network.parameters(), torch.zeros(0))
    width = reach.before + reach.after + 2 * reach.stride
    noise = torch.rand(1, channels, reach.stride, width, generator=torch.Generator().manual_seed(0))
    noise = noise.to(parameter)
    other = noise.clone()
    other[..., -reach.stride :] += 1
    with torch.no_grad():
        one, two = (network(image)[..., : reach.before + reach.stride] for image in (noise, other))
    return torch.allclose(one, two)


def _reach(field: AxisField) -> Reach | None:
    stride = len(field.period)
    if field.shift != stride:
        return None  # the output has another resolution, or sees the whole image
    seen = [(unit, stretch) for unit, stretch in enumerate(field.period) if stretch is not None]
    before = max((unit - stretch[0] for unit, stretch in seen), default=0)
    after = max((stretch[1] - unit for unit, stretch in seen), default=0)
    if max(before, after) >= _PROBE:
        return None
    return Reach(stride, -(-before // stride) * stride, -(-after // stride) * stride)
