"""Images in any form as (N, H, W, C) uint8: the one way into all estimators."""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from striate.data import BrokenImage, ImageSpec, decode_image
from striate.errors import ConfigError, DataError, InputError, ShapeError

Shape = tuple[int, int, int]

_LEVELS = 255.0
_NO_TARGETS = "no_validation"  # scikit-learn's own word
_NAMED = 5  # broken files in one message


@contextmanager
def as_value_errors() -> Iterator[None]:
    """Let faults of arrays and parameters be ValueErrors, as scikit-learn's are."""
    try:
        yield
    except (ConfigError, DataError) as error:
        raise InputError(str(error)) from error


def seed_of(random_state: Any) -> int:
    """The seed that an estimator's `random_state` stands for.

    Raises:
        InputError: a negative number.
    """
    if isinstance(random_state, (int, np.integer)):
        if random_state < 0:
            raise InputError(f"random_state={random_state} must be 0 or more.")
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


class ImageInput:
    """An estimator that takes images; it keeps their shape and the range of their values."""

    image_shape: tuple[int, ...] | None
    image_shape_: Shape
    value_range_: tuple[float, float]
    _least_features = 1

    def _read(
        self, X: Any, y: Any = _NO_TARGETS, *, reset: bool, **checks: bool
    ) -> tuple[np.ndarray, Any]:
        """(N, H, W, C) uint8 images, and y as scikit-learn checks it.

        Args:
            X: Images; see `ImageClassifier`.
            y: Targets of a fit that needs them.
            reset: Whether to take shape and range from X (fit), or compare with those kept.
            checks: Further arguments of scikit-learn's `validate_data`.

        Raises:
            ValueError: X or y do not fit; of Striate's own, an `InputError`.
        """
        rows, shape = _rows(X, None if self.image_shape is None else _whole(self.image_shape))
        validated = validate_data(
            self,
            rows,
            y,
            reset=reset,
            dtype=[np.float64, np.float32, np.uint8],
            ensure_min_features=self._least_features if reset else 1,
            **checks,
        )
        rows, y = validated if isinstance(validated, tuple) else (validated, None)
        if reset:
            self.image_shape_ = self._shape_of(rows, shape)
            whole = rows.dtype == np.uint8
            low, high = (0.0, _LEVELS) if whole else (float(rows.min()), float(rows.max()))
            self.value_range_ = low, high
        elif shape is not None and shape != self.image_shape_:
            raise InputError(
                f"Images of {_spell(shape)} came; this {type(self).__name__} was fitted on images "
                f"of {_spell(self.image_shape_)}."
            )
        return self._levels(rows).reshape(-1, *self.image_shape_), y

    @property
    def _is_line(self) -> bool:
        """Whether rows of numbers came without a shape."""
        return self.image_shape_[0] == 1 and self.image_shape_[2] == 1

    @contextmanager
    def _lines_explained(self) -> Iterator[None]:
        """Explain what lines are where something that needs pictures refuses them."""
        try:
            yield
        except (ConfigError, ShapeError) as error:
            if not self._is_line or self.image_shape is not None:
                raise
            raise InputError(
                f"{error} Rows without image_shape are images one pixel high: give "
                "image_shape=(height, width) or (height, width, 3)."
            ) from error

    def _shape_of(self, rows: np.ndarray, shape: Shape | None) -> Shape:
        own = None if self.image_shape is None else _whole(self.image_shape)
        if own is None:
            return shape or (1, rows.shape[1], 1)
        if shape is not None and shape != own:
            raise InputError(
                f"Images of {_spell(shape)} came, image_shape={self.image_shape} is set. "
                "Leave out image_shape, which is for flat rows and for files."
            )
        if rows.shape[1] != math.prod(own):
            raise InputError(
                f"Rows of {rows.shape[1]} numbers came; image_shape={self.image_shape} needs "
                f"{math.prod(own)}, row by row, the channels of a pixel side by side."
            )
        return own

    def _levels(self, rows: np.ndarray) -> np.ndarray:
        """Values as whole numbers in 0..255; what leaves the range of fit goes to its end."""
        if rows.dtype == np.uint8 and self.value_range_ == (0.0, _LEVELS):
            return rows
        low, high = self.value_range_
        most = float(rows.max())
        fractions = low == 0 and high == _LEVELS and most <= 1 and bool((rows != rows // 1).any())
        if fractions or (0 <= low < high <= 1 and most > 2):
            raise InputError(
                f"Values up to {most:g} came; this {type(self).__name__} was fitted on values from "
                f"{low:g} to {high:g}. Scale both in one way: all in 0..1, or all in 0..255."
            )
        scale = _LEVELS / (high - low) if high > low else 0.0
        scaled = (rows.astype(np.float64) - low) * scale
        return np.asarray(np.rint(scaled.clip(0, _LEVELS)), np.uint8)


def resized(images: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Images of the size and channels that a network or a predictor takes.

    Args:
        images: Images (N, H, W, C) uint8.
        spec: Form of the result.
    """
    if images.shape[1:] == spec.shape:
        return images
    return np.stack([decode_image(image, spec) for image in images])


def _whole(image_shape: Any) -> Shape:
    """(H, W) or (H, W, C) as (H, W, C).

    Raises:
        InputError: it is neither.
    """
    try:
        sides = tuple(int(side) for side in image_shape)
    except (TypeError, ValueError):
        sides = ()
    whole = (*sides, 1) if len(sides) == 2 else sides
    if len(whole) != 3 or min(whole) < 1 or whole[2] not in (1, 3):
        raise InputError(
            f"image_shape={image_shape!r} does not fit; accepted: (height, width), or "
            "(height, width, channels) with 1 or 3 channels."
        )
    return whole


def _rows(X: Any, wanted: Shape | None) -> tuple[Any, Shape | None]:
    """Flat rows, and the shape of the images where it shows; other input goes through as it is."""
    if hasattr(X, "detach"):
        X = X.detach().cpu().numpy()
    if _are_pictures(X):
        return _decoded(X, wanted)
    if isinstance(X, (list, tuple)) and len(X) and getattr(X[0], "ndim", 0) >= 2:
        sizes = {np.shape(image) for image in X}
        if len(sizes) > 1 and wanted is not None:
            return _decoded(X, wanted)
        if len(sizes) > 1:
            raise InputError(
                f"Images of {len(sizes)} different shapes came. Say to which they are to be "
                "brought: image_shape=(height, width) or (height, width, 3)."
            )
        X = np.stack([np.asarray(image) for image in X])
    shape: tuple[int, ...] = getattr(X, "shape", ())
    if len(shape) not in (3, 4):
        return X, None
    if 0 in shape:
        raise InputError(f"X has the shape {shape}: 0 samples, or images without pixels.")
    images = np.asarray(X)
    if images.ndim == 3:
        images = images[..., None]
    if images.shape[3] not in (1, 3):
        first = images.shape[1] in (1, 3)
        hint = " Its channels come first: use X.transpose(0, 2, 3, 1)." if first else ""
        raise InputError(
            f"X has the shape {shape}; accepted: (N, H, W), (N, H, W, 1), (N, H, W, 3), or flat "
            f"rows (N, F) with image_shape.{hint}"
        )
    _, height, width, channels = images.shape
    return images.reshape(len(images), -1), (height, width, channels)


def _are_pictures(X: Any) -> bool:
    """Whether X is a list of paths or of Pillow's images."""
    items: Any = X if isinstance(X, (list, tuple)) else []
    if getattr(X, "ndim", 0) == 1:  # an array, or a column of a table
        items = np.asarray(X)
    return len(items) > 0 and isinstance(items[0], (str, os.PathLike, Image.Image))


def _decoded(pictures: Sequence[Any], wanted: Shape | None) -> tuple[np.ndarray, Shape]:
    """Files or images of any size, brought to one shape."""
    if wanted is None:
        raise InputError(
            "Images come as files or in sizes of their own: say to which they are to be brought "
            "with image_shape=(height, width) for grey ones, (height, width, 3) for colour."
        )
    spec = ImageSpec(wanted[:2], 1 if wanted[2] == 1 else 3)
    decoded, problems = [], []
    for index, picture in enumerate(pictures):
        name = picture if isinstance(picture, (str, os.PathLike)) else f"image {index}"
        try:
            decoded.append(decode_image(picture, spec))
        except BrokenImage as error:
            problems.append(f"{name}: {error}")
    if problems:
        more = f" And {len(problems) - _NAMED} more." * (len(problems) > _NAMED)
        raise InputError(f"Images that cannot be read: {'; '.join(problems[:_NAMED])}.{more}")
    return np.stack(decoded).reshape(len(decoded), -1), wanted


def _spell(shape: Shape) -> str:
    return " × ".join(map(str, shape))
