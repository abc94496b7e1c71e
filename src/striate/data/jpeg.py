"""Decode ordinary JPEG files straight to an array, without the cost of an image object.

A thumbnail takes Pillow longer to wrap than to decode. simplejpeg calls the same decoder
(libjpeg-turbo, accurate integer DCT, smooth upsampling) and gives the same pixels to the last bit.
Whatever is not ordinary (rotated, CMYK, damaged, to be unpacked at a fraction of its size) is left
to Pillow, which so decides alone what is broken and why.
"""

import io
from contextlib import suppress
from functools import cache
from importlib import import_module, metadata
from types import ModuleType

import numpy as np
from PIL import Image

from striate.memory import reserve

_START = b"\xff\xd8\xff"
_ORIENTATION = 0x0112
# How the two notes begin that may say which way up a picture is.
_NOTES = (b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0")
_COLOURS = {"Gray": "GRAY", "YCbCr": "RGB", "RGB": "RGB"}


def decoder_name() -> str:
    """Name of the decoder of ordinary JPEG files, with its version; part of the cache's keys."""
    return f"simplejpeg {metadata.version('simplejpeg')}" if _simplejpeg() else "Pillow"


def ordinary_jpeg(content: bytes, max_pixels: int, max_shorter: int) -> np.ndarray | None:
    """Pixels (H, W) or (H, W, 3), uint8, of an upright grey or colour JPEG; None for all else.

    Args:
        content: Content of a file of any kind.
        max_pixels: Largest number of pixels; more are left to Pillow, which refuses them.
        max_shorter: Length in pixels; a picture whose shorter side is this long or longer is left
            to Pillow, which unpacks it at a fraction of its size.
    """
    turbo = _simplejpeg() if content.startswith(_START) else None
    if turbo is None:
        return None
    try:
        height, width, colours, _ = turbo.decode_jpeg_header(content)
        wanted = _COLOURS.get(colours)
        if wanted is None or height * width > max_pixels or min(height, width) >= max_shorter:
            return None
        if any(note in content for note in _NOTES) and not _is_upright(content):
            return None
        reserve(3 * height * width, f"A picture of {width} × {height} pixels")
        # Strict: what libjpeg merely warns of is left to Pillow too.
        pixels: np.ndarray = turbo.decode_jpeg(content, wanted, strict=True)
    except ValueError:
        return None
    return pixels[:, :, 0] if wanted == "GRAY" else pixels


def _is_upright(content: bytes) -> bool:
    """Whether Pillow finds no orientation but the ordinary one."""
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "MPO")) as image:
            return bool(image.getexif().get(_ORIENTATION, 1) == 1)
    except Exception:  # a damaged note: Pillow's own way decides what becomes of it
        return False


@cache
def _simplejpeg() -> ModuleType | None:
    with suppress(ImportError):
        return import_module("simplejpeg")
    return None
