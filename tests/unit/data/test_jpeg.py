"""The quick way for ordinary JPEG files gives Pillow's pixels, and leaves the rest to Pillow."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from striate.data import BrokenImage, ImageSpec, jpeg
from striate.data.decode import decode_with_digest
from striate.data.jpeg import ordinary_jpeg
from striate.data.picture import MAX_PIXELS

Encode = Callable[..., bytes]
Picture = Callable[..., np.ndarray]

simplejpeg = pytest.importorskip("simplejpeg", reason="simplejpeg is not installed")


def smooth(picture: Picture, seed: int, height: int, width: int, mode: str = "RGB") -> Image.Image:
    """A picture with both flat and busy places, as photographs have."""
    small = Image.fromarray(picture(seed, 5, 7)).convert(mode)
    return small.resize((width, height), Image.Resampling.BICUBIC)


def pillow(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


def quick(content: bytes) -> np.ndarray | None:
    return ordinary_jpeg(content, MAX_PIXELS, 1024)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(("quality", "subsampling"), [(35, 2), (75, 1), (95, 0), (100, 2)])
@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (37, 41), (127, 64)])
def test_pixels_are_pillows_to_the_last_bit(
    mode: str,
    progressive: bool,
    quality: int,
    subsampling: int,
    shape: tuple[int, int],
    picture: Picture,
    encoded: Encode,
) -> None:
    image = smooth(picture, quality, *shape, mode)
    options = {"subsampling": subsampling} if mode == "RGB" else {}
    content = encoded(image, "JPEG", quality=quality, progressive=progressive, **options)
    got = quick(content)
    assert got is not None
    np.testing.assert_array_equal(got, pillow(content))


def test_the_comparison_would_notice_another_upsampling(picture: Picture, encoded: Encode) -> None:
    content = encoded(smooth(picture, 1, 37, 41), "JPEG", subsampling=2)
    rough = simplejpeg.decode_jpeg(content, "RGB", fastupsample=True)
    assert np.abs(rough.astype(int) - pillow(content)).max() > 0


def test_what_is_not_ordinary_is_left_to_pillow(picture: Picture, encoded: Encode) -> None:
    image = smooth(picture, 2, 37, 41)
    content = encoded(image, "JPEG")
    assert quick(content) is not None
    turned, upright = Image.Exif(), Image.Exif()
    turned[0x0112], upright[0x0112] = 6, 1
    assert quick(encoded(image, "JPEG", exif=turned)) is None
    assert quick(encoded(image, "JPEG", exif=upright)) is not None
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="3"/></x:xmpmeta>'
    assert quick(encoded(image, "JPEG", xmp=xmp)) is None
    assert quick(encoded(image.convert("CMYK"), "JPEG")) is None
    assert quick(encoded(image, "PNG")) is None
    assert quick(content[:-40]) is None
    assert quick(content[:20]) is None
    assert quick(content[:2] + b"\xff") is None
    assert ordinary_jpeg(content, 37 * 41 - 1, 1024) is None
    assert ordinary_jpeg(content, MAX_PIXELS, 37) is None
    assert ordinary_jpeg(content, 37 * 41, 38) is not None


def test_damaged_files_have_one_fate_with_and_without_the_quick_way(
    picture: Picture, encoded: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random bytes of a file are changed; what is decoded, what is refused and why must agree."""
    contents = [
        encoded(smooth(picture, 3, 37, 41, mode), "JPEG", quality=60) for mode in ("RGB", "L")
    ]
    draw = np.random.default_rng(4)
    damaged = []
    for _ in range(150):
        bytes_ = bytearray(contents[int(draw.integers(2))])
        for place in draw.integers(2, len(bytes_), int(draw.integers(1, 4))):
            bytes_[place] = int(draw.integers(256))
        damaged.append(bytes(bytes_[: int(draw.integers(len(bytes_) // 2, 2 * len(bytes_)))]))

    def fates() -> list[object]:
        results: list[object] = []
        for content in damaged:
            try:
                pixels, digest, *_ = decode_with_digest(content, ImageSpec((9, 8), 3))
            except BrokenImage as error:
                results.append(str(error).split("(")[0])
            else:
                results.append((digest, pixels.tobytes()))
        return results

    with_quick = fates()
    assert {type(fate) for fate in with_quick} == {str, tuple}
    monkeypatch.setattr(jpeg, "_simplejpeg", lambda: None)
    assert fates() == with_quick


@pytest.mark.parametrize("spec", [ImageSpec((37, 41), 3), ImageSpec((37, 41), 1)])
def test_pixels_and_digest_do_not_depend_on_the_way(
    spec: ImageSpec, picture: Picture, encoded: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [
        encoded(smooth(picture, 5, *shape, mode), "JPEG")
        for shape in ((37, 41), (80, 55))
        for mode in ("RGB", "L")
    ]
    expected = [decode_with_digest(content, spec) for content in contents]
    monkeypatch.setattr(jpeg, "_simplejpeg", lambda: None)
    for content, (pixels, digest, *_) in zip(contents, expected, strict=True):
        again = decode_with_digest(content, spec)
        np.testing.assert_array_equal(again[0], pixels)
        assert again[1] == digest
        png = encoded(Image.fromarray(pillow(content)), "PNG")
        assert decode_with_digest(png, spec)[1] == digest
