"""Pictures inside a page: arrays of pixels as data URIs."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.errors import ShapeError

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_EXACT, _SIDE = 64, 128
"""Largest side of a picture that is shown pixel for pixel, and of any other."""


def data_uri(image: npt.NDArray[Any]) -> str:
    """The image as a PNG data URI, pixel for pixel; the page enlarges tiny ones.

    Args:
        image: (H, W, C) uint8 with C = 1 (grey), 3 (RGB) or 4 (RGBA).

    Raises:
        ShapeError: another shape or type.

    Example:
        >>> data_uri(np.zeros((2, 3, 1), dtype=np.uint8))[:22]
        'data:image/png;base64,'
    """
    return uri_of(png(image), "image/png")


def uri_of(content: bytes, kind: str) -> str:
    """The content of a file as a data URI.

    Example:
        >>> uri_of(b"abc", "image/png")
        'data:image/png;base64,YWJj'
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def thumbnail_uri(image: npt.NDArray[Any]) -> str:
    """The image as a data URI for a page of many: pixel for pixel up to 64, else a JPEG of 128.

    Args:
        image: (H, W, C) uint8 with C = 1 (grey) or 3 (RGB).

    Raises:
        ShapeError: another shape or type.

    Example:
        >>> thumbnail_uri(np.zeros((300, 200, 3), dtype=np.uint8))[:23]
        'data:image/jpeg;base64,'
    """
    from PIL import Image

    if image.ndim != 3 or max(image.shape[:2]) <= _EXACT:
        return data_uri(image)
    picture = Image.fromarray(_pixels(image))
    picture.thumbnail((_SIDE, _SIDE))
    stream = io.BytesIO()
    picture.save(stream, format="JPEG", quality=85)
    return uri_of(stream.getvalue(), "image/jpeg")


def png(image: npt.NDArray[Any]) -> bytes:
    """The image as the bytes of a PNG file, pixel for pixel.

    Args:
        image: (H, W, C) uint8 with C = 1 (grey), 3 (RGB) or 4 (RGBA).

    Raises:
        ShapeError: another shape or type.
    """
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(_pixels(image)).save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def _pixels(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if image.ndim != 3 or image.dtype != np.uint8 or image.shape[2] not in MODES or not image.size:
        raise ShapeError(
            "A picture is a uint8 array (H, W, C) with 1, 3 or 4 channels; what came is "
            f"{image.dtype} {image.shape}."
        )
    return np.ascontiguousarray(image[:, :, 0] if image.shape[2] == 1 else image)


def gif(frames: Sequence[npt.NDArray[np.uint8]], seconds: float = 0.5) -> bytes:
    """Pictures (H, W, 3) of one size as the bytes of a GIF file that repeats itself.

    Args:
        frames: Pictures in their order; the last one stays three times as long.
        seconds: How long each is shown.
    """
    from PIL import Image

    images = [Image.fromarray(_pixels(frame)) for frame in frames]
    durations = [round(1000 * seconds)] * (len(images) - 1) + [round(3000 * seconds)]
    stream = io.BytesIO()
    images[0].save(
        stream, format="GIF", save_all=True, append_images=images[1:], duration=durations, loop=0
    )
    return stream.getvalue()


def marked(
    image: npt.NDArray[np.uint8], colour: tuple[int, int, int], width: int = 2
) -> npt.NDArray[np.uint8]:
    """A picture (H, W, 3) with a frame of a colour inside its border.

    Example:
        >>> marked(np.zeros((3, 3, 3), dtype=np.uint8), (9, 9, 9), width=1)[..., 0].tolist()
        [[9, 9, 9], [9, 0, 9], [9, 9, 9]]
    """
    framed = image.copy()
    framed[:width], framed[-width:] = colour, colour
    framed[:, :width], framed[:, -width:] = colour, colour
    return framed
