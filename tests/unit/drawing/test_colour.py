"""Colours rise in luminance with the number, signs are symmetric, and nothing is stretched."""

import numpy as np
import pytest

from striate.drawing import colour


def test_the_luminance_rises_with_the_number() -> None:
    scale = colour.luminance(colour.sizes(np.linspace(0, 1, 200)[None], 1.0)[0])
    assert (np.diff(scale) > -2e-3).all()
    assert scale[-1] - scale[0] > 0.7


def test_the_luminance_falls_to_both_sides_of_zero() -> None:
    scale = colour.luminance(colour.signs(np.linspace(-1, 1, 401)[None], 1.0)[0])
    assert scale.argmax() == 200
    assert (np.diff(scale[:201]) > -2e-3).all()
    assert (np.diff(scale[200:]) < 2e-3).all()


def test_white_and_black_have_the_luminance_of_the_standard() -> None:
    pixels = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0]], dtype=np.uint8)
    np.testing.assert_allclose(colour.luminance(pixels), [0, 1, 0.2126])


def test_what_is_no_number_is_grey_and_zero_everywhere_is_no_division() -> None:
    assert colour.sizes(np.array([[np.nan]]), 1.0)[0, 0].tolist() == [128, 128, 128]
    assert (colour.signs(np.zeros((2, 3)), 0.0) == 247).all()
    assert (colour.sizes(np.zeros((2, 3)), 0.0) == (68, 1, 84)).all()


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (2, 3)])
def test_a_map_is_enlarged_by_rectangles(size: tuple[int, int]) -> None:
    values = np.arange(6).reshape(2, 3)
    found = colour.enlarged(values, size)
    assert found.shape == size
    assert set(found.ravel()) == set(range(6))
    assert (np.diff(found, axis=1) >= 0).all()


def test_tiles_keep_their_pixels_and_gaps_are_transparent() -> None:
    pictures = [np.full((2, 3, 1), value, dtype=np.uint8) for value in (1, 2, 3)]
    sheet = colour.tiled(pictures, columns=2, gap=1)
    assert sheet.shape == (5, 7, 4)
    assert sheet[0, 4].tolist() == [2, 2, 2, 255]
    assert sheet[3, 0].tolist() == [3, 3, 3, 255]
    assert sheet[0, 3, 3] == sheet[3, 5, 3] == 0


def test_colours_are_laid_over_a_picture() -> None:
    grey = np.full((1, 2, 1), 100, dtype=np.uint8)
    red = np.full((1, 2, 3), (200, 0, 0), dtype=np.uint8)
    found = colour.blended(grey, red, np.array([[0.0, 0.5]]))
    assert found[0].tolist() == [[100, 100, 100], [150, 50, 50]]
