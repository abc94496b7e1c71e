import base64
import io

import numpy as np
import pytest
from PIL import Image

from striate.errors import ShapeError
from striate.evaluation import data_uri, thumbnail_uri


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pixels_come_back_exactly(channels):
    image = np.random.default_rng(1).integers(256, size=(5, 7, channels), dtype=np.uint8)
    head, _, body = data_uri(image).partition(",")
    assert head == "data:image/png;base64"
    read = np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))
    np.testing.assert_array_equal(read.reshape(image.shape), image)


def test_a_view_with_strides_is_fine():
    image = np.random.default_rng(2).integers(256, size=(6, 4, 3), dtype=np.uint8)
    assert data_uri(image[::2, ::-1]) == data_uri(image[::2, ::-1].copy())


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((3, 4), np.uint8),
        np.zeros((3, 4, 2), np.uint8),
        np.zeros((3, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(image):
    with pytest.raises(ShapeError, match="uint8 array"):
        data_uri(image)


@pytest.mark.parametrize("channels", [1, 3])
def test_large_pictures_become_thumbnails(channels):
    image = np.full((300, 600, channels), 90, dtype=np.uint8)
    head, _, body = thumbnail_uri(image).partition(",")
    assert head == "data:image/jpeg;base64"
    read = Image.open(io.BytesIO(base64.b64decode(body)))
    assert read.size == (128, 64)
    assert np.abs(np.asarray(read).astype(int) - 90).max() <= 1
    small = image[:64, :64]
    assert thumbnail_uri(small) == data_uri(small)
