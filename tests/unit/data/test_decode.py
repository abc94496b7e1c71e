"""Every way of storing a picture gives the picture that a person sees."""

import contextlib
import inspect
import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from striate.data import BrokenImage, ImageSpec, decode, decode_image
from striate.data.decode import decode_with_digest
from striate.data.picture import MAX_PIXELS, open_image
from striate.errors import DataError

Encode = Callable[..., bytes]
Picture = Callable[..., np.ndarray]
SPEC = ImageSpec((9, 11), 3)
GREY = ImageSpec((9, 11), 1)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "TGA", "JPEG2000"])
def test_lossless_formats_give_the_pixels(kind: str, picture: Picture, encoded: Encode) -> None:
    pixels = picture(1)
    np.testing.assert_array_equal(
        decode_image(encoded(Image.fromarray(pixels), kind), SPEC), pixels
    )


def test_bytes_path_pil_and_array_agree(tmp_path, picture: Picture, encoded: Encode) -> None:
    image = Image.fromarray(picture(2, 31, 23))
    content = encoded(image, "PNG")
    path = tmp_path / "a b.png"
    path.write_bytes(content)
    spec = ImageSpec((8, 5), 3)
    expected = decode_image(content, spec)
    assert expected.shape == (8, 5, 3)
    for form in (path, str(path), image, np.asarray(image)):
        np.testing.assert_array_equal(decode_image(form, spec), expected)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_not_clipped(kind: str, encoded: Encode) -> None:
    values = np.random.default_rng(3).integers(0, 65536, (9, 11), dtype=np.uint16)
    expected = np.rint(values / 257.0).astype(np.uint8)
    content = encoded(Image.fromarray(values), kind)
    np.testing.assert_array_equal(decode_image(content, GREY)[:, :, 0], expected)
    np.testing.assert_array_equal(decode_image(values, GREY)[:, :, 0], expected)


def test_floats_are_read_by_the_range_that_holds_them(encoded: Encode) -> None:
    unit = np.random.default_rng(4).random((9, 11)).astype(np.float32)
    expected = np.rint(unit.astype(np.float64) * 255)
    for values in (unit, unit * np.float32(255), unit * np.float32(65535)):
        got = decode_image(encoded(Image.fromarray(values), "TIFF"), GREY)[:, :, 0]
        # Products in float32 move a value by 2⁻²⁴ of itself; it may cross one half.
        assert np.abs(got.astype(int) - expected).max() <= 1
    signed = unit * 7 - 3
    low, high = signed.min(), signed.max()
    got = decode_image(encoded(Image.fromarray(signed), "TIFF"), GREY)[:, :, 0]
    assert np.abs(got - (signed - low) / (high - low) * 255).max() < 0.51
    signed[2, 3] = np.nan
    with pytest.raises(BrokenImage, match="not finite"):
        decode_image(signed, GREY)


@pytest.mark.parametrize(("scale", "shift"), [(2, -1), (7, -3), (300, 0), (9e4, 0)])
def test_float_arrays_of_no_usual_range_are_refused(scale: float, shift: float) -> None:
    unit = np.random.default_rng(4).random((9, 11))
    unit[0, :2] = 0, 1
    with pytest.raises(BrokenImage, match=r"values from .*accepted: 0\.\.1 or 0\.\.255"):
        decode_image(unit * scale + shift, GREY)
    for high in (1, 255):
        got = decode_image(unit * high, GREY)[:, :, 0]
        np.testing.assert_array_equal(got, np.rint(unit * 255))


@pytest.mark.parametrize("thing", [None, 5, [b"x"], {"a": 1}])
def test_what_is_no_picture_is_told_the_accepted_forms(thing: object) -> None:
    with pytest.raises(DataError, match=f"{type(thing).__name__} is no picture. Acc") as caught:
        # Beyond the annotation, which the tests' own checker would refuse first.
        inspect.unwrap(open_image)(thing)
    assert not isinstance(caught.value, BrokenImage)


def test_transparency_is_laid_on_white(picture: Picture, encoded: Encode) -> None:
    colour, alpha = picture(5), picture(6, channels=1)
    rgba = Image.fromarray(np.dstack([colour, alpha]))
    share = alpha[:, :, None] / 255
    expected = colour * share + 255 * (1 - share)
    got = decode_image(encoded(rgba, "PNG"), SPEC)
    # Pillow composites in whole numbers: one level of rounding on each of two sums.
    assert np.abs(got - expected).max() <= 1
    grey = Image.fromarray(np.dstack([colour[:, :, 0], alpha]), "LA")
    got = decode_image(encoded(grey, "PNG"), GREY)[:, :, 0]
    assert np.abs(got - expected[:, :, 0]).max() <= 2


def test_palettes_with_and_without_transparency(encoded: Encode) -> None:
    indices = np.random.default_rng(7).integers(0, 4, (9, 11), dtype=np.uint8)
    palette = np.array([[250, 3, 8], [9, 240, 5], [4, 7, 230], [90, 80, 70]], dtype=np.uint8)
    image = Image.fromarray(indices, "L").convert("P")
    image.putpalette(palette.tobytes())
    image = Image.frombytes("P", (11, 9), indices.tobytes())
    image.putpalette(palette.tobytes())
    np.testing.assert_array_equal(decode_image(encoded(image, "PNG"), SPEC), palette[indices])
    see_through = decode_image(encoded(image, "PNG", transparency=2), SPEC)
    expected = palette.copy()
    expected[2] = 255
    np.testing.assert_array_equal(see_through, expected[indices])


def test_one_bit_cmyk_and_animation(picture: Picture, encoded: Encode) -> None:
    bits = picture(8, channels=1) > 99
    got = decode_image(encoded(Image.fromarray(bits), "PNG"), GREY)[:, :, 0]
    np.testing.assert_array_equal(got, bits * np.uint8(255))
    cmyk = Image.fromarray(picture(9)).convert("CMYK")
    got = decode_image(encoded(cmyk, "TIFF"), SPEC)
    np.testing.assert_array_equal(got, np.asarray(cmyk.convert("RGB")))
    frames = [Image.fromarray(picture(seed)) for seed in (10, 11)]
    moving = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode_image(moving, SPEC), picture(10))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_exif_rotation(kind: str, orientation: int, encoded: Encode) -> None:
    # Large flat fields survive lossy formats: corner brightness tells the orientation.
    upright = np.zeros((16, 32), dtype=np.uint8)
    upright[:8, :16], upright[:8, 16:], upright[8:, :16] = 230, 160, 80
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored)).convert("RGB")
    content = encoded(image, kind, exif=exif)
    got = decode_image(content, ImageSpec((16, 32), 1))[:, :, 0].astype(int)
    assert np.abs(got[4::8, 8::16] - upright[4::8, 8::16]).max() <= 8


def test_grey_is_luma_and_colour_of_grey_is_equal(picture: Picture) -> None:
    colour = picture(12)
    luma = colour @ np.array([0.299, 0.587, 0.114])
    assert np.abs(decode_image(colour, GREY)[:, :, 0] - luma).max() <= 1
    grey = picture(13, channels=1)
    np.testing.assert_array_equal(decode_image(grey, SPEC), np.repeat(grey[:, :, None], 3, 2))


def test_fit_crops_squashes_or_pads() -> None:
    wide = np.zeros((12, 36), dtype=np.uint8)
    wide[:, 12:24] = 200
    crop = decode_image(wide, ImageSpec((12, 12), 1, "crop"))
    assert (crop == 200).all()
    squash = decode_image(wide, ImageSpec((12, 12), 1, "squash"))[:, :, 0]
    assert squash[:, 0].max() == 0
    assert (squash[:, 5:7] == 200).all()
    assert squash[:, -1].max() == 0
    pad = decode_image(wide + 5, ImageSpec((12, 12), 1, "pad"))[:, :, 0]
    assert (pad[:4] == 0).all()
    assert (pad[8:] == 0).all()
    assert pad[5, 0] == 5


@pytest.mark.parametrize("tall", [True, False])
def test_a_crop_takes_the_middle_and_nothing_else(tall: bool) -> None:
    image = np.zeros((90, 30, 1), np.uint8)
    image[26:64] = 200  # the crop is 30 to 60; its border is averaged over the next pixels
    image = image if tall else image.swapaxes(0, 1)
    assert (decode_image(image, ImageSpec((10, 10), 1, "crop")) == 200).all()


def test_downscaling_is_antialiased() -> None:
    """A fine chequerboard becomes its mean; picking pixels (the broken twin) does not."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    got = decode_image(board, ImageSpec((8, 8), 1))[1:-1, 1:-1]
    assert np.abs(got.astype(int) - 127.5).max() <= 1.5
    picked = board[::8, ::8]
    assert np.abs(picked.astype(int) - 127.5).max() > 100


def test_large_jpeg_is_unpacked_small_and_close_to_the_full_way(encoded: Encode) -> None:
    across, down = np.meshgrid(np.linspace(0, 255, 2300), np.linspace(0, 255, 1700))
    image = Image.fromarray(np.dstack([across, down, across[:, ::-1]]).astype(np.uint8))
    content = encoded(image, "JPEG", quality=95)
    spec = ImageSpec((48, 64), 3)
    assert min(open_image(content).size) == 850
    small, full = decode_image(content, spec), decode_image(image, spec)
    assert np.abs(small.astype(int) - full).max() <= 4
    large = ImageSpec((600, 800), 3)
    pixels, digest, *_ = decode_with_digest(content, large)
    np.testing.assert_array_equal(pixels, decode_image(content, large))
    assert digest == decode_with_digest(content, spec)[1]


def test_digest_follows_the_picture_not_the_file(picture: Picture, encoded: Encode) -> None:
    image = Image.fromarray(picture(14))
    digests = {
        decode_with_digest(encoded(image, kind), spec)[1]
        for kind in ("PNG", "BMP", "TIFF")
        for spec in (SPEC, ImageSpec((3, 4), 1))
    }
    assert len(digests) == 1
    other = picture(14)
    other[4, 4, 1] ^= 1
    assert decode_with_digest(other, SPEC)[1] not in digests


def test_broken_files_say_why(tmp_path, picture: Picture, encoded: Encode) -> None:
    whole = encoded(Image.fromarray(picture(15, 90, 90)), "PNG")
    for content, reason in (
        (b"", "empty"),
        (b"no image at all", "not an image"),
        (whole[: len(whole) // 2], "cut short|damaged"),
        (encoded(Image.fromarray(picture(15, 90, 90)), "JPEG")[:900], "cut short"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    ):
        with pytest.raises(BrokenImage, match=reason):
            decode_image(content, SPEC)
    with pytest.raises(BrokenImage, match="does not exist"):
        decode_image(tmp_path / "none.png", SPEC)


def test_bombs_are_refused_by_their_header(encoded: Encode) -> None:
    side = int(MAX_PIXELS**0.5) + 2
    header = io.BytesIO(b"P5 %d %d 255\n" % (side, side)).getvalue()
    with pytest.raises(BrokenImage, match="million pixels"):
        decode_image(header + b"\0" * 9, SPEC)


@pytest.mark.filterwarnings("ignore:::PIL")
def test_damaged_bytes_never_escape_as_other_errors(picture: Picture, encoded: Encode) -> None:
    draw = np.random.default_rng(16)
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "TGA", "ICO"):
        whole = encoded(Image.fromarray(picture(17, 40, 33)), kind)
        for _ in range(40):
            damaged = bytearray(whole)
            for place in draw.integers(0, len(whole), 6):
                damaged[place] = draw.integers(0, 256)
            with contextlib.suppress(BrokenImage):
                assert decode_image(bytes(damaged), SPEC).shape == (9, 11, 3)


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((3, 20, 20), "transpose"),
        ((4, 5, 7), "accepted"),
        ((2,), "accepted"),
        ((24, 32, 5), "accepted"),
        ((24, 32, 2), "accepted"),
        ((7, 24, 32, 3), "accepted"),
    ],
)
def test_arrays_of_other_shapes_are_refused(shape: tuple[int, ...], hint: str) -> None:
    with pytest.raises(BrokenImage, match=hint):
        decode_image(np.zeros(shape, dtype=np.uint8), SPEC)


def test_multi_picture_jpeg_of_telephones(picture: Picture, encoded: Encode) -> None:
    frames = [Image.fromarray(picture(seed, 1100, 1040, 1)) for seed in (18, 19)]
    content = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:], quality=90)
    assert open_image(content).size == (520, 550)
    assert decode_image(content, GREY).shape == (9, 11, 1)


def test_every_size_is_cropped_to_every_other() -> None:
    """Lengths whose quotient is rounded up leave no negative corner."""
    spec = ImageSpec((227, 227), 3)
    for side in range(1, 300):
        picture = np.zeros((side, side + side % 3, 3), dtype=np.uint8)
        assert decode_image(picture, spec).shape == (227, 227, 3)


def test_eight_bits_in_a_wider_integer_are_eight_bits():
    values = np.random.default_rng(3).integers(0, 256, (5, 7, 3))
    spec = ImageSpec((5, 7), 3)
    assert values.dtype == np.int64
    assert np.array_equal(decode_image(values, spec), decode_image(values.astype(np.uint8), spec))


def test_only_what_was_opened_reduced_is_opened_again(
    picture: Picture, encoded: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    original = decode.open_quickly
    monkeypatch.setattr(
        decode, "open_quickly", lambda *given: opened.append(given[1]) or original(*given)
    )
    large = ImageSpec((600, 500), 3)
    for kind, size, expected in (
        ("PNG", 700, [512]),
        ("JPEG", 700, [512]),
        ("JPEG", 1300, [512, 1200]),
    ):
        opened.clear()
        content = encoded(Image.fromarray(picture(3, size, size)), kind)
        pixels = decode_with_digest(content, large).pixels
        assert opened == expected
        np.testing.assert_array_equal(pixels, decode_image(content, large))
