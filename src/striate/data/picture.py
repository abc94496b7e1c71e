"""Open a picture as a person sees it, however it is stored: upright, the first frame, eight bits.

Transparency is laid on white; what comes out is grey ("L") or colour ("RGB").
"""

import errno
import io
import os
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from striate.data.jpeg import ordinary_jpeg
from striate.data.source import read_file
from striate.errors import DataError, MemoryLimitError
from striate.memory import reserve

# Pillow's own limit for an error: a picture of 512 MiB in RGB, 13,377 pixels square.
MAX_PIXELS = 178_956_970
# A JPEG at least twice this large on its shorter side is unpacked at a half, a quarter or an
# eighth, never below this: what is left still has four times the pixels of a 256-pixel input.
DRAFT_SIDE = 512
FULL_DEPTH = 16
"""Bits of a deep picture that stand for white, if nothing else is known."""
# Memory of an opened picture while it is turned, converted and resized: Pillow keeps colours in
# four bytes, and a step holds what it reads beside what it makes.
_BYTES_OF_GREY, _BYTES_OF_COLOUR = 3, 9
_BAND = 2**17
"""Pixels that are converted together, where a step would need wider numbers for all of them."""
# Handing such a file to Pillow would start another program (Ghostscript).
_REFUSED_FORMATS = {"EPS"}
_COMMON_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "GIF")
_TOO_LARGE = (
    f"more than {MAX_PIXELS / 1e6:.0f} million pixels: refused, as it could be made to fill the "
    "memory"
)
_REASONS: dict[type[Exception], str] = {
    Image.DecompressionBombError: _TOO_LARGE,
    Image.DecompressionBombWarning: _TOO_LARGE,
    UnidentifiedImageError: "not an image in a format that can be read",
    MemoryError: "does not fit into memory",
}
_FOREIGN = (
    (rb".{4}ftyp.{0,60}(heic|heix|hevc|hevx|mif1)", "HEIC, which cannot be read: save it as JPEG"),
    (rb".{4}ftyp", "a video, and no image"),
    (rb"\s*(<!doctype html|<html)", "a web page, perhaps of a download that failed"),
    (rb"version https://git-lfs", "a pointer of Git LFS: fetch the files with git lfs pull"),
    (rb"%PDF-", "a PDF document: save its pages as PNG"),
    (rb".{128}DICM", "DICOM, which cannot be read: save it as PNG or TIFF"),
)
"""First bytes of files that people take for images, and what they are."""
_OWN_FAULTS = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENAMETOOLONG}
"""Errors of the system that say something of a file; all others are troubles of the moment."""

_ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How a picture is brought upright, by EXIF's number of its orientation.

Source: CIPA DC-008 (Exif 2.32), section 4.6.4, tag 274."""

Picture = bytes | str | os.PathLike[str] | Image.Image | np.ndarray


class BrokenImage(DataError):  # noqa: N818 - the state of a file, as people say it
    """A file that gives no picture; the message is the reason in words.

    Args:
        reason: Reason in words.
        is_outside: Whether the reason lies outside the file (no permission, an error of the disk,
            no memory), so that it may be read another time.
    """

    def __init__(self, reason: str, *, is_outside: bool = False) -> None:
        super().__init__(reason)
        self.is_outside = is_outside


class Header(NamedTuple):
    """A picture's size and form, known before it is unpacked."""

    height: int
    width: int
    mode: str
    """Pixel mode, as Pillow names it."""
    format: str
    orientation: int = 1
    """EXIF's number of how the picture is stored turned or mirrored; 1: upright."""

    @property
    def upright(self) -> tuple[int, int]:
        """Height and width of the picture as a person sees it."""
        turned = self.orientation >= 5
        return (self.width, self.height) if turned else (self.height, self.width)


def read_header(content: bytes | np.ndarray) -> Header | None:
    """Read the header of an image file; None where it is damaged or there is none."""
    if isinstance(content, np.ndarray):
        mode = "L" if content.ndim == 2 else "RGB"
        return Header(content.shape[0], content.shape[1], mode, "array")
    try:
        with Image.open(io.BytesIO(content), formats=readable_formats()) as image:
            orientation = image.getexif().get(_ORIENTATION, 1) if _may_be_turned(image) else 1
            return Header(
                image.height,
                image.width,
                image.mode,
                image.format or "unknown",
                orientation if orientation in TURNS else 1,
            )
    except Exception:  # Pillow's readers meet damaged bytes with errors of many kinds
        return None


def largest_value(content: bytes) -> int:
    """The largest value of a picture of 16 or 32 bits; 0 where it cannot be read."""
    try:
        with Image.open(io.BytesIO(content), formats=readable_formats()) as image:
            small = image.width * image.height <= MAX_PIXELS
            return max(0, int(np.asarray(image).max())) if small else 0
    except Exception:  # Pillow's readers meet damaged bytes with errors of many kinds
        return 0


def open_image(picture: Picture, smallest: int = DRAFT_SIDE, bits: int = FULL_DEPTH) -> Image.Image:
    """The picture upright, eight bits a channel, opaque, in mode "L" or "RGB".

    Values of other types are brought to 0..255 without clipping: sixteen bits by the range of
    `bits`; floats and 32-bit integers by the smallest of the ranges 0..1 (floats), 0..255
    (floats), that of `bits` that holds them, else from their own minimum to their own maximum.
    Float arrays must lie in 0..1 or 0..255: beyond that they are most likely normalised already.

    Args:
        picture: Picture in any form that `decode_image` accepts.
        smallest: Shorter side to keep, pixels: a JPEG may be unpacked at a fraction of its size
            as long as its shorter side stays at least this long.
        bits: Bits that the values of 16-bit pictures fill: 12, as many cameras count.

    Raises:
        DataError: It is nothing that can be a picture.
        BrokenImage: The picture cannot be read; the message is the reason in words.
    """
    opened = open_quickly(picture, smallest, bits)
    return Image.fromarray(opened) if isinstance(opened, np.ndarray) else opened


def open_quickly(picture: Any, smallest: int, bits: int = FULL_DEPTH) -> Image.Image | np.ndarray:
    """Open a picture like `open_image`; an ordinary JPEG as an array (H, W) or (H, W, 3)."""
    if not isinstance(picture, (bytes, str, os.PathLike, Image.Image, np.ndarray)):
        raise DataError(_no_picture(picture))
    try:
        if isinstance(picture, np.ndarray):
            return _from_array(picture, bits)
        if isinstance(picture, Image.Image):
            return _upright(picture, bits)
        return _from_file(picture, smallest, bits)
    except BrokenImage:
        raise
    except MemoryLimitError as error:
        raise BrokenImage(str(error), is_outside=True) from None
    except Exception as error:  # Pillow's readers meet damaged bytes with errors of every kind
        raise why_broken(error, picture) from None


def is_address(picture: Any) -> bool:
    """Whether a text is the address of a picture elsewhere, and no path of a file here."""
    return isinstance(picture, str) and "://" in picture and not os.path.exists(picture)


def _from_file(
    picture: bytes | str | os.PathLike[str], smallest: int, bits: int
) -> Image.Image | np.ndarray:
    if is_address(picture):
        raise BrokenImage("it lies elsewhere; download it first, and name the file")
    try:
        content = picture if isinstance(picture, bytes) else read_file(os.fspath(picture))
    except OSError as error:
        raise unreadable(error) from None
    if not content:
        raise BrokenImage("the file is empty")
    pixels = ordinary_jpeg(content, MAX_PIXELS, 2 * smallest)
    if pixels is not None:
        return pixels
    with Image.open(io.BytesIO(content), formats=readable_formats()) as image:
        if image.width * image.height > MAX_PIXELS:
            raise BrokenImage(_TOO_LARGE)
        if image.format in ("JPEG", "MPO") and min(image.size) >= 2 * smallest:
            scale = smallest / min(image.size)
            image.draft(image.mode, (int(image.width * scale), int(image.height * scale)))
        needed = bytes_of_pixels(image.width * image.height, image.mode)
        reserve(needed, f"A picture of {image.width} × {image.height} pixels")
        image.load()
        return _upright(image, bits)


def bytes_of_pixels(count: int, mode: str) -> int:
    """Bytes of memory that so many pixels of one of Pillow's modes take while they are read."""
    return count * (_BYTES_OF_GREY if mode in ("1", "L") else _BYTES_OF_COLOUR)


@cache
def readable_formats() -> tuple[str, ...]:
    """The formats of Pillow that can be read safely, the common ones first."""
    Image.init()
    known = [name for name in _COMMON_FORMATS if name in Image.OPEN]
    return (*known, *sorted(set(Image.OPEN) - set(known) - _REFUSED_FORMATS))


def _upright(image: Image.Image, bits: int) -> Image.Image:
    if image.width * image.height > MAX_PIXELS:
        raise BrokenImage(_TOO_LARGE)
    # Looking for an orientation costs as much as decoding a thumbnail: only where there may be one.
    if _may_be_turned(image):
        # A damaged note about the picture does not spoil the picture.
        with suppress(OSError, ValueError, SyntaxError, KeyError, TypeError, struct.error):
            image = ImageOps.exif_transpose(image)
    return _eight_bits(image, bits)


def _may_be_turned(image: Image.Image) -> bool:
    """Whether a picture carries a note that may hold an orientation."""
    return image.format == "TIFF" or any(
        "exif" in str(key).lower() or "xmp" in str(key).lower() for key in image.info
    )


def _eight_bits(image: Image.Image, bits: int) -> Image.Image:
    mode = image.mode
    if "transparency" in image.info and mode in ("1", "L", "P", "RGB", "I;16"):
        if mode == "I;16":
            return Image.fromarray(_from_bits(np.asarray(image), bits))
        return _on_white(image, grey=mode in ("1", "L"))
    if mode in ("L", "RGB"):
        return image
    if mode == "1":
        return image.convert("L")
    if mode in ("LA", "La", "RGBA", "RGBa", "PA") or (mode == "P" and image.palette.mode == "RGBA"):
        return _on_white(image, grey=mode in ("LA", "La"))
    if mode.startswith("I;16"):
        return Image.fromarray(_from_bits(np.asarray(image), bits))
    if mode in ("I", "F"):
        values = np.asarray(image)
        deep = mode == "I" and bits < FULL_DEPTH
        levels = _from_bits(values, bits) if deep else _scaled(values, *_range(values))
        return Image.fromarray(levels)
    return image.convert("RGB")


def _on_white(image: Image.Image, grey: bool) -> Image.Image:
    """Laid on white, as on paper: what is see-through is mostly a drawing, a sign or a product."""
    mode = "L" if grey else "RGB"
    laid = Image.new(mode, image.size)
    for band, top in bands(image):
        page = Image.new("RGBA", band.size, "white")
        page.alpha_composite(band.convert("RGBA"))
        laid.paste(page.convert(mode), (0, top))
    return laid


def bands(image: Image.Image) -> Iterator[tuple[Image.Image, int]]:
    """Horizontal parts of a picture, each with the row of its upper end, so that copies are small.

    A picture of at most 131,072 pixels is one part.
    """
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        lower = min(top + rows, image.height)
        whole = rows >= image.height
        yield image if whole else image.crop((0, top, image.width, lower)), top


def _from_array(values: np.ndarray, bits: int) -> Image.Image:
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (1, 3, 4)):
        hint = " Its channels seem to come first; use array.transpose(1, 2, 0)." * (
            values.ndim == 3 and values.shape[0] in (1, 3, 4)
        )
        raise BrokenImage(
            f"an array of shape {values.shape}; accepted: (H, W), (H, W, 1), (H, W, 3) or "
            f"(H, W, 4).{hint}"
        )
    if 0 in values.shape:
        raise BrokenImage(f"an array of shape {values.shape} has no pixels")
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.dtype == np.uint8:
        levels = values
    elif values.dtype == np.bool_:
        levels = _scaled(values, 0, 1)
    elif values.dtype == np.uint16:
        levels = _from_bits(values, bits)
    elif np.issubdtype(values.dtype, np.integer):
        # Eight bits in a wider type, as arithmetic leaves them, keep their values.
        eight_bits = values.min() >= 0 and values.max() <= 255
        levels = _scaled(values, *((0, 255) if eight_bits else _range(values)))
    elif np.issubdtype(values.dtype, np.floating):
        low, high = _range(values)
        if (low, high) not in ((0, 1), (0, 255)):
            raise BrokenImage(
                f"a float array with values from {values.min():.4g} to {values.max():.4g}; "
                "accepted: 0..1 or 0..255. Undo a normalisation first"
            )
        levels = _scaled(values, low, high)
    else:
        raise BrokenImage(f"an array of {values.dtype}; accepted: uint8, uint16, bool, float")
    return _upright(Image.fromarray(np.ascontiguousarray(levels)), bits)


def _range(values: np.ndarray) -> tuple[float, float]:
    """The range that stands for black to white, for types whose own range says nothing."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise BrokenImage("it holds values that are not finite numbers")
    if low >= 0:
        usual = (1, 255, 65535) if np.issubdtype(values.dtype, np.floating) else (65535,)
        for limit in usual:
            if high <= limit:
                return 0.0, float(limit)
    return low, high


def _from_bits(values: np.ndarray, bits: int) -> np.ndarray:
    """Values of a picture of 16 bits, of which `bits` are filled, as 0..255."""
    limit = 2**bits - 1
    if bits < FULL_DEPTH and not (values.min() >= 0 and values.max() <= limit):
        raise BrokenImage(
            f"it holds values from {values.min()} to {values.max()}, which {bits} bits do not: "
            f"add --set data.bits={FULL_DEPTH}"
        )
    return _scaled(values, 0, limit)


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """`values` from low..high to 0..255, rounded to nearest."""
    span = high - low or 1.0
    levels = np.empty(values.shape, np.uint8)
    rows = max(1, _BAND // values.shape[1])
    for top in range(0, len(values), rows):
        scaled = (values[top : top + rows].astype(np.float64) - low) * (255 / span)
        levels[top : top + rows] = np.rint(scaled).clip(0, 255)
    return levels


def _no_picture(thing: object) -> str:
    hint = " Give the images of a list one at a time." * isinstance(thing, (list, tuple))
    return (
        f"{type(thing).__name__} is no picture. Accepted: a path, the bytes of a file, a PIL "
        f"image, or a NumPy array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).{hint}"
    )


def why_broken(error: Exception, content: Any = None) -> BrokenImage:
    """The reason why a reader of files gave no picture.

    Args:
        error: Error of the reader.
        content: Bytes that it read, by which files of other kinds are recognised.
    """
    if isinstance(error, UnidentifiedImageError) and isinstance(content, bytes):
        for start, what in _FOREIGN:
            if re.match(start, content, re.DOTALL | re.IGNORECASE):
                return BrokenImage(what)
    for kind, reason in _REASONS.items():
        if isinstance(error, kind):
            return BrokenImage(reason, is_outside=kind is MemoryError)
    text = str(error).strip()
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return BrokenImage(f"the file is cut short ({text or 'unexpected end'})")
    return BrokenImage(
        f"the file is damaged or of an unknown kind ({text or type(error).__name__})"
    )


def unreadable(error: OSError) -> BrokenImage:
    """The reason why a file could not be read at all."""
    if isinstance(error, PermissionError):
        return BrokenImage("no permission to read it", is_outside=True)
    if isinstance(error, FileNotFoundError):
        return BrokenImage("the file does not exist (or is a link that leads nowhere)")
    if error.errno == errno.ENAMETOOLONG:
        return BrokenImage("its name is too long for this system")
    # What Striate itself says of a file, or reads in an archive, has no number.
    is_outside = error.errno is not None and error.errno not in _OWN_FAULTS
    return BrokenImage(f"it cannot be read ({error.strerror or error})", is_outside=is_outside)
