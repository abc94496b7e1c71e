"""Files of masks: the numbers that each form holds, and what is refused."""

import io

import numpy as np
import pytest
from PIL import Image

from striate.data.mask_file import StoredMask, read_mask, united
from striate.data.picture import BrokenImage

IDS = np.array([[0, 1], [2, 255]], np.uint8)
TRANSPARENT = np.dstack([IDS] * 4)


def file_of(image: Image.Image, form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, form)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "mode", "numbers"),
    [
        (file_of(Image.fromarray(IDS)), "L", IDS),
        (file_of(Image.fromarray(IDS.astype(np.uint16) * 200)), "I;16", IDS * 200.0),
        (file_of(Image.fromarray(IDS > 1)), "1", (IDS > 1) * 255),
        (file_of(Image.fromarray(np.dstack([IDS] * 3))), "RGB", IDS * 65793.0),
        (file_of(Image.fromarray(IDS).convert("LA")), "L", IDS),
        (file_of(Image.fromarray(IDS).convert("RGBA")), "RGB", IDS * 65793.0),
        (IDS.astype(np.int64) * 100, "I;16", IDS * 100.0),
        (IDS, "L", IDS),
        (np.dstack([IDS] * 3), "RGB", IDS * 65793.0),
    ],
)
def test_every_form_gives_its_numbers(content, mode, numbers):
    mask = read_mask(content)
    assert (mask.mode, mask.numbers.tolist()) == (mode, numbers.tolist())


def test_a_palette_is_kept_beside_its_indices():
    image = Image.fromarray(IDS % 3, "P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    mask = read_mask(file_of(image))
    assert mask.numbers.tolist() == (IDS % 3).tolist()
    assert mask.palette[3:9] == (255, 0, 0, 0, 0, 255)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (file_of(Image.fromarray(IDS), "JPEG"), "a JPEG file"),
        (file_of(Image.fromarray(TRANSPARENT)), "partly transparent"),
        (file_of(Image.fromarray(IDS).convert("CMYK"), "TIFF"), "of the form CMYK"),
        (IDS.astype(np.int64) - 1, "ids from -1 to 254"),
        (IDS.astype(np.int64) * 300, "ids from 0 to 76500"),
        (b"", "not an image"),
        (b"\x89PNG\r\n\x1a\n", "."),
        (OSError("the disk reports an error"), "the disk reports an error"),
    ],
)
def test_what_is_no_mask_is_refused(content, problem):
    with pytest.raises(BrokenImage, match=problem):
        read_mask(content)


def test_objects_are_one_mask_of_one_size():
    objects = [StoredMask(np.array(row, np.uint8), "L") for row in ([[0, 7]], [[0, 9]], [[3, 0]])]
    mask = united(objects)
    assert (mask.numbers.tolist(), mask.num_objects, mask.num_shared) == ([[255, 255]], 3, 1)
    with pytest.raises(BrokenImage, match="differ in size"):
        united([objects[0], StoredMask(IDS, "L")])
