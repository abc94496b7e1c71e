"""A window that slides along one axis: which inputs each output takes, and how many outputs."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from striate.errors import ConfigError, ShapeError

__all__ = ["Window", "check_axes", "per_axis", "windows"]

PerAxis = int | Sequence[int]
"""One number for all spatial axes, or one for each."""


@dataclass(frozen=True)
class Window:
    """Output o of an axis takes the inputs o·stride − padding + j·dilation, 0 ≤ j < kernel."""

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    ceil_mode: bool = False

    def __post_init__(self) -> None:
        if min(self.kernel, self.stride, self.dilation) < 1 or self.padding < 0:
            raise ConfigError(
                f"{self} is no window: kernel, stride and dilation must be 1 or more, padding 0 or "
                "more."
            )

    @property
    def extent(self) -> int:
        """From the first input taken to the last, both included."""
        return self.dilation * (self.kernel - 1) + 1

    def output_size(self, size: int) -> int:
        """O = ⌊(I + 2P − δ(F−1) − 1)/S⌋ + 1; with ceil mode ⌈·⌉, but no window begins beyond.

        Raises:
            ShapeError: an input on which the window does not fit once.

        Example:
            >>> Window(11, stride=4, padding=2).output_size(224)
            55
        """
        room = size + 2 * self.padding - self.extent
        if room < 0:
            raise ShapeError(
                f"An axis of {size} is too short for {self}; accepted: "
                f"{max(self.extent - 2 * self.padding, 1)} or more."
            )
        if not self.ceil_mode:
            return room // self.stride + 1
        count = -(-room // self.stride) + 1
        return count - 1 if (count - 1) * self.stride >= size + self.padding else count

    def taps(self, output: int) -> range:
        """The inputs that an output takes; those outside the axis are padding."""
        first = output * self.stride - self.padding
        return range(first, first + self.extent, self.dilation)


def check_ndim(ndim: int) -> None:
    """Raise ConfigError for another number of spatial dimensions than 1, 2 or 3."""
    if ndim not in (1, 2, 3):
        raise ConfigError(
            f"ndim={ndim!r} is not a number of spatial dimensions; accepted: 1, 2, 3."
        )


def per_axis(value: PerAxis, ndim: int, name: str) -> tuple[int, ...]:
    """One number for each spatial axis.

    Raises:
        ConfigError: another number of numbers.

    Example:
        >>> per_axis(3, 2, "kernel_size"), per_axis((3, 5), 2, "kernel_size")
        ((3, 3), (3, 5))
    """
    check_ndim(ndim)
    values = (value,) * ndim if isinstance(value, int) else tuple(value)
    if len(values) != ndim:
        raise ConfigError(
            f"{name}={value!r} does not fit ndim={ndim}; accepted: one whole number, or {ndim}."
        )
    return values


def windows(
    ndim: int,
    kernel_size: PerAxis,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    *,
    ceil_mode: bool = False,
) -> tuple[Window, ...]:
    """One window for each spatial axis.

    Example:
        >>> [window.kernel for window in windows(2, (3, 5), stride=2)]
        [3, 5]
    """
    rows = zip(
        per_axis(kernel_size, ndim, "kernel_size"),
        per_axis(stride, ndim, "stride"),
        per_axis(padding, ndim, "padding"),
        per_axis(dilation, ndim, "dilation"),
        strict=True,
    )
    return tuple(Window(*row, ceil_mode) for row in rows)


def check_axes(x: Float[Tensor, "..."], ndim: int, layer: str, channels: int | None = None) -> None:
    """Raise ShapeError unless x is (B, C, *S) with `ndim` spatial axes and `channels` channels."""
    letters = ", ".join(("B", "C", *"DHW"[3 - ndim :]))
    if x.ndim != ndim + 2:
        raise ShapeError(
            f"{layer} with ndim={ndim} takes ({letters}); what came has the shape {tuple(x.shape)}."
        )
    if channels is not None and x.shape[1] != channels:
        raise ShapeError(
            f"{layer} was made for {channels} channels; what came has {x.shape[1]}, shape "
            f"{tuple(x.shape)}."
        )
