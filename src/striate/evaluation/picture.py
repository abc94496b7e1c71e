"""Pictures inside a page: arrays of pixels as data URIs."""

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.errors import ShapeError

MODES = {1: "L", 3: "RGB", 4: "RGBA"}


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
    return "data:image/png;base64," + base64.b64encode(png(image)).decode()


def png(image: npt.NDArray[Any]) -> bytes:
    """The image as the bytes of a PNG file, pixel for pixel.

    Args:
        image: (H, W, C) uint8 with C = 1 (grey), 3 (RGB) or 4 (RGBA).

    Raises:
        ShapeError: another shape or type.
    """
    from PIL import Image

    if image.ndim != 3 or image.dtype != np.uint8 or image.shape[2] not in MODES or not image.size:
        raise ShapeError(
            "A picture is a uint8 array (H, W, C) with 1, 3 or 4 channels; what came is "
            f"{image.dtype} {image.shape}."
        )
    pixels = image[:, :, 0] if image.shape[2] == 1 else image
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, format="PNG", optimize=True)
    return stream.getvalue()
