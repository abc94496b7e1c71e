"""Subjects of a gallery: a network, its images, and what of it is asked."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from striate.data.loader import Normalisation
from striate.randomness import some_of
from striate.seeing.target import Target
from striate.seeing.twin import twin

__all__ = ["Collection", "Subject", "last_spatial_layer"]

Progress = Callable[[str, int, int], None]


T = TypeVar("T")


def _quiet(stage: str, done: int, total: int) -> None:
    pass


def _silent(text: str) -> None:
    pass


@dataclass(frozen=True)
class Collection:
    """Many images, among which a part may seek."""

    pictures: Any
    """Images as people see them, uint8 (N, H, W, C), read as they are used."""
    words: str
    """What they are: "the 1,000 training images"."""
    labels: Int[Tensor, "N"] | None = None
    """Class index of each; None: they have none."""
    class_names: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.pictures)

    def some(self, most: int, *stream: str) -> "Collection":
        """At most so many of the images, drawn by a named stream."""
        if len(self) <= most:
            return self
        index = some_of(len(self), most, *stream)
        labels = None if self.labels is None else self.labels[torch.from_numpy(index)]
        return replace(
            self,
            pictures=np.asarray(self.pictures[index]),
            words=f"{most:,} of {self.words}",
            labels=labels,
        )


@dataclass(frozen=True)
class Subject:
    """A network with images that it sees, for the parts of a gallery."""

    network: nn.Module
    title: str
    pictures: npt.NDArray[np.uint8]
    """Images as people see them (N, H, W, C), at the network's input size."""
    inputs: Float[Tensor, "N C H W"]
    """The same images as the network takes them: normalised."""
    names: Sequence[str]
    captions: Sequence[str]
    """What is known of each image: its class, what the network predicts."""
    target: Target
    """Number that is explained for each image."""
    target_names: Sequence[str]
    """What that number is, for each image: the name of a class."""
    normalise: Normalisation
    layer: str | None
    """Layer that parts show where they show one; None: no layer has positions of the image."""
    layer_was_named: bool = False
    """Whether a person named it; else parts may show others, too."""
    unit: int | None = None
    """Channel of that layer that was asked for; None: parts choose."""
    collection: Collection | None = None
    """Images among which parts seek what excites a unit; None: only those that are shown."""
    held_out: Collection | None = None
    """Images that the network was not trained on."""
    class_names: Sequence[str] = ()
    loss: tuple[Callable[[nn.Module, Any], Tensor], Sequence[Any]] | None = None
    """Loss of the task for a network and a batch, and batches of held-out images; None: not
    known."""
    moments: Sequence[Mapping[str, Any]] = ()
    """What a watched training wrote of its layers, from the first moment to the last."""
    snapshots: Sequence[tuple[int, Callable[[], nn.Module]]] = ()
    """Steps of a watched training, and functions that give the network as it was then."""
    seed: int = 0
    progress: Progress = _quiet
    say: Callable[[str], None] = _silent
    """Tells the person what is to come."""
    _made: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Make what several parts need for the first that asks, and keep it for the others."""
        if name not in self._made:
            self._made[name] = make()
        made: T = self._made[name]
        return made

    def class_name(self, index: int) -> str:
        """The name of a class, or its number."""
        return self.class_names[index] if index < len(self.class_names) else f"class {index}"

    @property
    def limits(self) -> tuple[list[float], list[float]]:
        """The smallest and the largest value of an input, for each channel."""
        ends = (fill((1, self.inputs.shape[1], 1, 1)) for fill in (torch.zeros, torch.ones))
        low, high = (self.normalise(end).flatten().tolist() for end in ends)
        return low, high

    def picture_of(self, image: Float[Tensor, "C H W"]) -> npt.NDArray[np.uint8]:
        """An input as people see it (H, W, C)."""
        low, high = (torch.tensor(end).view(-1, 1, 1) for end in self.limits)
        shares = ((image.float().cpu() - low) / (high - low)).clamp(0, 1)
        return (255 * shares).round().byte().permute(1, 2, 0).numpy()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.pictures.shape[1], self.pictures.shape[2]


def last_spatial_layer(network: nn.Module, input_shape: tuple[int, ...]) -> str | None:
    """The last layer whose output has more than one position: the usual one for Grad-CAM.

    Args:
        network: Any module; left as it is.
        input_shape: Shape (C, *S), without the batch.

    Returns:
        Its name; None where no layer has positions.

    Example:
        >>> head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
        >>> last_spatial_layer(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), *head), (3, 9, 8))
        '1'
    """
    copied, spatial = twin(network), list[str]()
    weight = next((p for p in copied.parameters() if p.is_floating_point()), torch.zeros(()))

    def note(name: str, output: Any) -> None:
        has_axes = isinstance(output, Tensor) and output.ndim == 1 + len(input_shape)
        if has_axes and math.prod(output.shape[2:]) > 1:
            spatial.append(name)

    for name, module in copied.named_modules():
        if name:
            module.register_forward_hook(lambda _, __, output, name=name: note(name, output))
    with torch.no_grad():
        copied(weight.new_zeros(1, *input_shape))
    return spatial[-1] if spatial else None
