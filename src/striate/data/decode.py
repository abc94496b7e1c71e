"""One way from a picture, however it is stored, to a uint8 array; the cache and `predict` share it.

The way has two halves: `picture.py` gives the picture as a person sees it, and `fit_image` here
gives that picture the size and the channels that a network asks for.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image

from striate.config import DataConfig
from striate.data.picture import DRAFT_SIDE, FULL_DEPTH, Picture, bands, open_quickly
from striate.memory import give_back, in_flight


@dataclass(frozen=True)
class ImageSpec:
    """The form in which a network takes its images."""

    input_size: tuple[int, int]
    """Height and width, pixels."""
    channels: Literal[1, 3]
    """1: grey (ITU-R 601 luma, as Pillow's "L"), 3: RGB."""
    fit: Literal["crop", "squash", "pad"] = "crop"
    """crop: the largest centred part of the right shape; squash: all of it, stretched;
    pad: all of it, black bars on two sides."""
    resize: int | None = None
    """Bring the shorter side to so many pixels first, then cut the centre of `input_size` out of
    the picture, as published networks are measured; None: as `fit` says."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    bits: int = FULL_DEPTH
    """Bits that the values of 16-bit pictures fill."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """H, W, C of an image; its product is its bytes."""
        return (*self.input_size, self.channels)

    def to_json(self) -> dict[str, Any]:
        """The spec as JSON values."""
        value: dict[str, Any] = {
            "input_size": list(self.input_size),
            "channels": self.channels,
            "fit": self.fit,
        }
        if self.resize is not None:
            value |= {"resize": self.resize, "interpolation": self.interpolation}
        if self.bits != FULL_DEPTH:
            value["bits"] = self.bits
        return value


def spec_of(config: DataConfig) -> ImageSpec:
    """The form of the images of a training."""
    return ImageSpec(config.input_size, config.channels, config.fit, bits=config.bits)


_WHOLE = 2**30
"""Shorter side to keep, so that no JPEG is unpacked at a fraction of its size."""
THUMBNAIL = ImageSpec((32, 32), 3, "squash")
"""The form in which pictures are compared with each other, whatever a network asks for."""


@in_flight()
def decode_image(picture: Picture, spec: ImageSpec) -> UInt8[np.ndarray, "H W C"]:
    """The picture as (H, W, C) uint8, as the network of `spec` takes it.

    Args:
        picture: a path, the bytes of a file, a PIL image, or an array (H, W), (H, W, 1),
            (H, W, 3) or (H, W, 4): uint8; uint16 over the range of `spec.bits`; bool; or float,
            see `open_image`.
        spec: size, channels and fit.

    Raises:
        DataError: it is none of these.
        BrokenImage: with the reason in words.

    Example:
        >>> import numpy as np
        >>> picture = np.arange(12, dtype=np.uint8).reshape(3, 4)
        >>> decode_image(picture, ImageSpec((3, 3), 1))[..., 0].shape
        (3, 3)
    """
    return fit_image(open_quickly(picture, _smallest(spec), spec.bits), spec)


@in_flight()
def decode_whole(picture: Picture, spec: ImageSpec) -> UInt8[np.ndarray, "H W C"]:
    """The picture at its own size, upright, as (H, W, C) uint8.

    Args:
        picture: Picture in any form that `decode_image` accepts.
        spec: Channels and bits.

    Raises:
        DataError: It is nothing that can be a picture.
        BrokenImage: The picture cannot be read; the message is the reason in words.
    """
    opened = open_quickly(picture, _WHOLE, spec.bits)
    size = opened.shape[:2] if isinstance(opened, np.ndarray) else opened.size[::-1]
    return fit_image(opened, ImageSpec((size[0], size[1]), spec.channels))


class Decoded(NamedTuple):
    """The result of reading a picture once."""

    pixels: UInt8[np.ndarray, "H W C"]
    """Pixels as the network takes them."""
    digest: str
    """Digest of the upright eight-bit pixels."""
    thumbnail: UInt8[np.ndarray, "S S 3"]
    """All of the picture, squeezed into a small square; the same object as `pixels` where these
    are that."""
    side: int
    """The shorter side of the upright picture, pixels, as far as it was unpacked."""


@in_flight()
def decode_with_digest(picture: Picture, spec: ImageSpec) -> Decoded:
    """Decode an image, and give a digest and a thumbnail that do not depend on `spec`.

    The digest is taken of the upright eight-bit pixels, so that a copy saved in another lossless
    format has the same; of a JPEG above 1024 pixels, of its pixels at reduced size.
    """
    opened = open_quickly(picture, DRAFT_SIDE, spec.bits)
    digest = picture_digest(opened)
    size = opened.shape[1::-1] if isinstance(opened, np.ndarray) else opened.size
    side = min(size)
    thumbnail = fit_image(opened, THUMBNAIL)
    form = spec.input_size, spec.channels, spec.resize
    if size == THUMBNAIL.input_size and form == (size, THUMBNAIL.channels, None):
        return Decoded(thumbnail, digest, thumbnail, side)
    smallest = _smallest(spec)
    if smallest > DRAFT_SIDE and _may_be_reduced(picture, opened):
        del opened
        give_back()  # of the reduced picture, before memory for the larger one is asked for
        opened = open_quickly(picture, smallest, spec.bits)
    return Decoded(fit_image(opened, spec), digest, thumbnail, side)


def _may_be_reduced(picture: Picture, opened: Image.Image | np.ndarray) -> bool:
    """Whether a picture was perhaps opened at less than its size, as Pillow does with JPEG."""
    if isinstance(opened, np.ndarray) or isinstance(picture, (np.ndarray, Image.Image)):
        return False
    return not isinstance(picture, bytes) or picture.startswith(b"\xff\xd8")


def _smallest(spec: ImageSpec) -> int:
    return max(DRAFT_SIDE, 2 * max(*spec.input_size, spec.resize or 0))


def fit_image(image: Image.Image | np.ndarray, spec: ImageSpec) -> UInt8[np.ndarray, "H W C"]:
    """An "L" or "RGB" picture at the size and with the channels of `spec`.

    Resizing covers the whole area that a new pixel stands for (antialiased).
    """
    height, width = spec.input_size
    if isinstance(image, np.ndarray):
        fits = image.shape[:2] == spec.input_size and spec.resize is None
        if fits and (spec.channels == 3 or image.ndim == 2):
            return _with_channels(image, spec.channels)
        image = Image.fromarray(image)
    if spec.channels == 1 and image.mode != "L":
        image = image.convert("L")
    if spec.resize is not None:
        image = _resize_then_cut(image, spec, spec.resize)
    elif image.size != (width, height):
        image = _resize(image, width, height, spec.fit)
    return _with_channels(np.asarray(image), spec.channels)


def fit_values(
    values: np.ndarray, spec: ImageSpec, beyond: int
) -> Integer[np.ndarray, "height width"]:
    """Whole numbers (H, W) of the pixels of an upright picture, moved as `fit_image` moves it.

    Each new pixel takes the number of the nearest old one; none is invented.

    Args:
        values: Numbers below 2**31.
        spec: Form of the picture.
        beyond: Number of pixels beyond the border, where the picture is padded.
    """
    height, width = spec.input_size
    if values.shape == spec.input_size:
        return values
    image = Image.fromarray(values.astype(np.int32))
    image = _resize(image, width, height, spec.fit, Image.Resampling.NEAREST, beyond)
    return np.asarray(image).astype(values.dtype)


def _with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if channels == 3 and pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    return pixels


def picture_digest(image: Image.Image | np.ndarray) -> str:
    """A digest of the picture's pixels, the same for a copy saved in another lossless format."""
    if isinstance(image, np.ndarray):
        height, width = image.shape[:2]
        mode = "L" if image.ndim == 2 else "RGB"
    else:
        mode, width, height = image.mode, image.width, image.height
    digest = hashlib.blake2b(f"{mode} {width} {height}".encode(), digest_size=16)
    if isinstance(image, np.ndarray):
        digest.update(np.ascontiguousarray(image).data)
    else:
        for band, _ in bands(image):
            digest.update(band.tobytes())
    return digest.hexdigest()


def _resize(
    image: Image.Image,
    width: int,
    height: int,
    fit: str,
    resample: Image.Resampling = Image.Resampling.BILINEAR,
    beyond: int = 0,
) -> Image.Image:
    have_w, have_h = image.size
    if fit == "squash":
        return image.resize((width, height), resample)
    if fit == "crop":
        scale = min(have_w / width, have_h / height)
        # rounding may bring a length that fits exactly to just below zero
        left = max(0.0, (have_w - width * scale) / 2)
        top = max(0.0, (have_h - height * scale) / 2)
        box = (left, top, min(left + width * scale, have_w), min(top + height * scale, have_h))
        return image.resize((width, height), resample, box=box)
    scale = max(have_w / width, have_h / height)
    inner = (max(1, round(have_w / scale)), max(1, round(have_h / scale)))
    page = Image.new(image.mode, (width, height), beyond)
    corner = ((width - inner[0]) // 2, (height - inner[1]) // 2)
    page.paste(image.resize(inner, resample), corner)
    return page


def _resize_then_cut(image: Image.Image, spec: ImageSpec, shorter: int) -> Image.Image:
    factor = shorter / min(image.size)
    size = (round(image.width * factor), round(image.height * factor))
    image = image.resize(size, Image.Resampling[spec.interpolation.upper()])
    height, width = spec.input_size
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
