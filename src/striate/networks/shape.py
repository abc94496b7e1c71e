"""Checks of channels and sizes that say which ones would work."""

from collections.abc import Sequence

from torch import Tensor

from striate.errors import ConfigError, ShapeError


def check_ndim(network: str, ndim: int, accepted: Sequence[int] = (1, 2, 3)) -> None:
    """Refuse a number of spatial dimensions that the network does not have.

    Raises:
        ConfigError: another number than those accepted.
    """
    if ndim not in accepted:
        known = ", ".join(str(number) for number in accepted)
        raise ConfigError(f"{network}: ndim={ndim} does not exist; accepted: {known}.")


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
        ShapeError: with the size that would work.
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
        network: the name for the message.
        x: the batch, B×C×*S.
        in_channels: C that the network was built for.
        ndim: number of spatial dimensions that it was built for.
        size: exact spatial size, for networks that end in fully connected layers.
        smallest: shortest spatial lengths (one number: of every axis), for all other networks.
        advice: what else could be done about a size that is too small.

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
