"""The patches of images that excite each channel of a layer most, and a layer's maps.

One pass over the images serves all layers. Of each map only its maximum is kept, and what lies in
memory is a batch and, for each channel, its k strongest images so far.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from striate.errors import ConfigError
from striate.execution import Execution, accelerate
from striate.layers.geometry.track import Track
from striate.seeing.field import boxes_of, tracks_of
from striate.seeing.twin import captured, last_call, module_named, twin

__all__ = ["Patches", "maps_of", "top_patches"]

_AT_ONCE, _FEWEST, _PIXELS = 256, 16, 2**22
"""Images that run at once: at most, at least, and the pixels that they may have in between."""


@dataclass(frozen=True)
class Patches:
    """For each channel of a layer its k strongest images, the strongest first.

    Boxes end before their last numbers: `image[:, top:bottom, left:right]` is the patch.
    """

    values: Float[Tensor, "C k"]
    """The channel's largest value in the image."""
    images: Int[Tensor, "C k"]
    """Numbers of the images, from 0 in the order in which they came."""
    positions: Int[Tensor, "C k D"]
    """Row and column of the largest value in the channel's map, the first one if it is repeated."""
    boxes: Int[Tensor, "C k E"]
    """Top, left, bottom, right of the receptive field within the image, pixels."""
    unbounded: Int[Tensor, "C k E"]
    """The same as if the image went on for ever beyond its borders."""
    dead: Bool[Tensor, "C"]
    """Whether no value was above 0: behind a rectifier, a unit that was never active."""


@torch.no_grad()
def top_patches(
    network: nn.Module,
    images: Float[Tensor, "N C *S"] | Iterable[Tensor],
    layers: Sequence[str],
    k: int = 9,
    *,
    execution: Execution | None = None,
) -> dict[str, Patches]:
    """The image patches, cut by receptive field, that excite each channel of some layers most.

    An image counts once for a channel, by its strongest position, so that k patches come from k
    images. Of equal values the image that came first wins; so batches can be cut anywhere.

    Args:
        network: Any module; left as it is.
        images: All images, or batches of them (B, C, *S) one after another, of one size, as the
            network takes them (normalised).
        layers: Names of modules whose outputs are (B, C', *s); of a module that runs more than
            once, its last call counts.
        k: Patches for each channel; fewer where there are fewer images.
        execution: Device and operators of the forward passes; None: torch's, where the network is.
            A layer that is looked at runs by itself, never joined with its neighbours, so that no
            operator hides it; compilation, which would, is left out.

    Returns:
        Patches by name of the layer, on the CPU.

    Raises:
        ConfigError: no such layer, one that does not run or has no channels, or no images.
        ShapeError: a layer whose receptive field cannot be followed.

    Source: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks (2014), figure
    2; receptive fields by `striate.layers.geometry`.

    Example:
        >>> network = nn.MaxPool2d(2)
        >>> images = torch.arange(32.0).view(2, 1, 4, 4)
        >>> patches = top_patches(network, images, [""], k=1)[""]
        >>> patches.values.tolist(), patches.images.tolist(), patches.boxes.tolist()
        ([[31.0]], [[1]], [[[2, 2, 4, 4]]])
    """
    if k < 1:
        raise ConfigError(f"k={k} must be 1 or more.")
    running, size, count = twin(network), None, 0
    tracks: dict[str, Track] = {}
    strongest: dict[str, _Strongest] = {}
    entering: dict[str, _Entering | None] = {}

    def note(name: str) -> Callable[[Any, Any, Any], None]:
        def hook(_: Any, __: Any, output: Any) -> None:
            maps = _with_channels(output, name)
            best = strongest.setdefault(name, _Strongest(maps, k))
            entering[name] = best.entering(maps)

        return hook

    with ExitStack() as stack:
        if execution is not None:
            running = accelerate(execution.place(running), replace(execution, compiled=None))
            stack.enter_context(execution.arithmetic())
            stack.enter_context(execution.autocast())
        for name in layers:
            # A layer with a hook is never joined with others; see `layers.native.norm_act`.
            module_named(running, name).register_forward_hook(note(name))
        for batch in _batches(images):
            if size is None:
                size, tracks = batch.shape[1:], tracks_of(network, batch.shape[1:], layers)
            if batch.shape[1:] != size:
                raise ConfigError(
                    f"A batch has images of {tuple(batch.shape[1:])}, the first one had "
                    f"{tuple(size)}; images of one size are needed."
                )
            running(batch if execution is None else _placed(batch, execution))
            for name, found in entering.items():
                if found is not None:
                    strongest[name].merge(found, count)
            entering.clear()
            count += len(batch)
    if size is None:
        raise ConfigError("There are no images to choose patches from.")
    return {name: best.patches(tracks[name], count) for name, best in strongest.items()}


@torch.no_grad()
def maps_of(network: nn.Module, images: Float[Tensor, "N *any"], *layers: str) -> dict[str, Tensor]:
    """The outputs of layers, by name: (N, C', *s) for convolutions.

    Args:
        network: Any module; left as it is.
        images: Inputs as the network takes them.
        layers: Names of modules; of one that runs more than once, its last call counts.

    Raises:
        ConfigError: no such layer, or one that does not run.

    Example:
        >>> maps_of(nn.Sequential(nn.ReLU()), torch.tensor([[-1.0, 2.0]]), "0")
        {'0': tensor([[0., 2.]])}
    """
    running = twin(network)
    parts: dict[str, list[Tensor]] = {name: [] for name in layers}
    for batch in _batches(images):
        with captured(running, *parts) as outputs:
            running(batch)
        for name, part in parts.items():
            part.append(last_call(outputs, name))
    return {name: torch.cat(part) for name, part in parts.items()}


@dataclass(frozen=True)
class _Entering:
    """What a batch adds to the strongest: rows for some channels, sorted, −∞ where nothing."""

    channels: Int[Tensor, "M"]
    values: Float[Tensor, "M n"]
    images: Int[Tensor, "M n"]
    positions: Int[Tensor, "M n"]


class _Strongest:
    """The k strongest images of each channel of a layer so far."""

    def __init__(self, maps: Tensor, k: int) -> None:
        self.k, self.shape = k, tuple(maps.shape[2:])
        self.values = torch.full((maps.shape[1], k), -torch.inf, device=maps.device)
        self.images = torch.full((maps.shape[1], k), -1, device=maps.device)
        self.positions = torch.zeros_like(self.images)

    def entering(self, maps: Tensor) -> _Entering | None:
        """What of a batch is among the strongest. Positions are sought for nothing else."""
        flat = maps.flatten(2) if maps.ndim > 2 else maps[:, :, None]
        # What is not a number excites nothing.
        values = _largest(maps).T.float().nan_to_num(-torch.inf, torch.inf, -torch.inf)
        weakest = self.values[:, -1]
        # An equal value comes too late. Soon few channels are left, and the rest costs nothing.
        (channels,) = (values.amax(1) > weakest).nonzero(as_tuple=True)
        if not len(channels):
            return None
        values, images = values[channels].sort(dim=1, descending=True, stable=True)
        values, images = values[:, : self.k], images[:, : self.k]
        enters = values > weakest[channels, None]
        positions = torch.zeros_like(images)
        row = channels[:, None].expand_as(images)
        positions[enters] = flat[images[enters], row[enters]].argmax(1)
        return _Entering(channels, values.where(enters, -torch.inf), images, positions)

    def merge(self, new: _Entering, first: int) -> None:
        """Take up what a batch adds, whose first image has this number."""
        old = self.values[new.channels]
        # Stable, and the old ones ahead: of equal values the image that came first stays.
        values, order = torch.cat([old, new.values], 1).sort(dim=1, descending=True, stable=True)
        order = order[:, : self.k]
        self.values[new.channels] = values[:, : self.k]
        for kept, added in ((self.images, new.images + first), (self.positions, new.positions)):
            kept[new.channels] = torch.cat([kept[new.channels], added], 1).gather(1, order)

    def patches(self, track: Track, count: int) -> Patches:
        """The result, after so many images."""
        values, images, flat = (
            kept[:, : min(self.k, count)].cpu()
            for kept in (self.values, self.images, self.positions)
        )
        positions = flat.new_zeros(*flat.shape, 0)
        if self.shape:
            positions = torch.stack(torch.unravel_index(flat, self.shape), -1)
        boxes, unbounded = boxes_of(positions, track, True), boxes_of(positions, track, False)
        return Patches(values, images, positions, boxes, unbounded, values[:, 0] <= 0)


def _largest(maps: Float[Tensor, "B C *s"]) -> Float[Tensor, "B C"]:
    """The largest value of each map."""
    if maps.ndim == 4 and maps.is_contiguous(memory_format=torch.channels_last):
        # Rows first, in which values lie side by side: ten times faster where channels are few.
        rows = maps.permute(0, 2, 3, 1).flatten(2).amax(1)
        return rows.view(len(maps), maps.shape[3], maps.shape[1]).amax(1)
    return maps.flatten(2).amax(2) if maps.ndim > 2 else maps


def _with_channels(output: Any, name: str) -> Tensor:
    """The output of a layer.

    Raises:
        ConfigError: it is no tensor with channels.
    """
    if isinstance(output, Tensor) and output.ndim >= 2:
        return output
    given = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    raise ConfigError(
        f"The layer {name!r} gives {given}; a tensor (B, C, ...) with channels is needed."
    )


def _batches(images: Tensor | Iterable[Tensor]) -> Iterator[Tensor]:
    """Batches of images, cut where they are not yet."""
    if not isinstance(images, Tensor):
        yield from images
    elif len(images):
        pixels = images[0].numel() // images.shape[1]
        at_once = min(_AT_ONCE, max(_FEWEST, _PIXELS // max(1, pixels)))
        yield from torch.split(images, at_once)


def _placed(batch: Tensor, execution: Execution) -> Tensor:
    """A batch on the device and in the layout of an execution."""
    batch = batch.to(execution.device)
    if execution.channels_last and batch.ndim == 4:
        return batch.contiguous(memory_format=torch.channels_last)
    return batch
