"""Checks of channels and sizes that say which ones would work."""

from collections.abc import Sequence

from torch import Tensor

from striate.errors import ConfigError, ShapeError


def check_ndim(network: str, ndim: int) -> None:
    """Refuse another number of spatial dimensions than 1, 2 or 3.

    Raises:
        ConfigError: another number.
    """
    check_choice(network, "ndim", ndim, (1, 2, 3))


def check_choice(network: str, argument: str, value: object, accepted: Sequence[object]) -> None:
    """Refuse a value of an argument that is not one of those accepted.

    Raises:
        ConfigError: naming the argument, the value and what is accepted.
    """
    if value not in accepted:
        known = ", ".join(str(choice) for choice in accepted)
        raise ConfigError(f"{network}: {argument}={value!r} does not exist; accepted: {known}.")


def full_size(network: str, input_size: Sequence[int], ndim: int) -> tuple[int, ...]:
    """The input size as a tuple with one positive length for each spatial dimension.

    Raises:
        ShapeError: another number of lengths than `ndim`, or a length below one.
    """
    size = tuple(input_size)
    if len(size) != ndim or min(size, default=0) < 1:
        raise ShapeError(
            f"{network}: input_size={size} does not fit ndim={ndim}; give {ndim} positive "
            f"length{'s' if ndim > 1 else ''}, for example {(32,) * ndim}."
        )
    return size


def check_size(
    network: str, size: Sequence[int], smallest: Sequence[int], advice: str = ""
) -> None:
    """Refuse spatial lengths under the smallest that the network's layers leave something of.

    Raises:
        ShapeError: too few pixels; the message has the size that would work.
    """
    if any(length < least for length, least in zip(size, smallest, strict=True)):
        works = tuple(max(pair) for pair in zip(size, smallest, strict=True))
        raise ShapeError(
            f"{network} needs images of {_times(smallest)} or larger; what came is "
            f"{_times(size)}. Resize them to {_times(works)}{advice}."
        )


def _times(size: Sequence[int]) -> str:
    return "×".join(str(length) for length in size)


def check_input(
    network: str,
    x: Tensor,
    in_channels: int,
    ndim: int,
    *,
    size: Sequence[int] | None = None,
    smallest: Sequence[int] | int = 1,
    advice: str = "",
) -> None:
    """Refuse a batch whose rank, channels or spatial size the network was not built for.

    Args:
        network: Name of the network, for the message.
        x: Batch, B×C×*S.
        in_channels: C that the network was built for.
        ndim: Number of spatial dimensions that it was built for.
        size: Exact spatial size, for networks that end in fully connected layers.
        smallest: Shortest spatial lengths (one number: of every axis), for all other networks.
        advice: Other remedy for a size that is too small.

    Raises:
        ShapeError: what came, what is accepted and what to do.
    """
    letters = "B×C×" + "×".join("DHW"[3 - ndim :])
    if x.ndim != ndim + 2:
        raise ShapeError(
            f"{network} takes {letters} ({ndim + 2} axes); what came has {x.ndim}: "
            f"{tuple(x.shape)}. A single image needs a batch axis: x[None]."
        )
    if x.shape[1] != in_channels:
        raise ShapeError(
            f"{network} was built for in_channels={in_channels}; what came has {x.shape[1]} "
            f"channels: {tuple(x.shape)}. Build it with in_channels={x.shape[1]} or convert "
            "the images."
        )
    if size is not None and tuple(x.shape[2:]) != tuple(size):
        raise ShapeError(
            f"{network} was built for input_size={tuple(size)}; what came is "
            f"{tuple(x.shape[2:])}. Resize the images or build it with that input_size."
        )
    least = (smallest,) * ndim if isinstance(smallest, int) else smallest
    check_size(network, x.shape[2:], least, advice)
