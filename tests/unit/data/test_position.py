"""Pictures in any of the eight positions of a square are brought to one."""

import numpy as np

from striate.data.near_duplicates.position import moved, positions


def eight(square: np.ndarray) -> np.ndarray:
    """A square mirrored and turned by quarters, as NumPy does it."""
    turned = [np.rot90(square, quarters) for quarters in range(4)]
    return np.stack([*turned, *(np.fliplr(each) for each in turned)])


def test_all_eight_positions_become_one() -> None:
    draw = np.random.default_rng(0)
    for _ in range(50):
        squares = eight(draw.normal(size=(8, 8)))
        same = moved(squares, positions(squares))
        np.testing.assert_array_equal(same, np.broadcast_to(same[:1], same.shape))


def test_the_change_that_is_known_from_means_moves_the_whole_picture() -> None:
    draw = np.random.default_rng(1)
    pictures = eight(draw.integers(0, 256, (32, 32, 3), dtype=np.uint8))
    grey = pictures.mean(3)
    fields = grey.reshape(8, 8, 4, 8, 4).mean((2, 4))
    fields -= fields.mean((1, 2), keepdims=True)
    same = moved(pictures, positions(fields))
    np.testing.assert_array_equal(same, np.broadcast_to(same[:1], same.shape))
    assert len(np.unique(positions(fields))) == 8
