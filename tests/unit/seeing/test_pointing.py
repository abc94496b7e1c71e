"""The pointing game on maps and masks whose outcome is counted by hand."""

import pytest
import torch

from striate.seeing.pointing import pointing


def scene(height: int = 40, width: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    maps = torch.zeros(1, height, width)
    masks = torch.zeros(1, height, width, dtype=torch.bool)
    masks[0, 5:9, 40:50] = True
    return maps, masks


@pytest.mark.parametrize(
    ("peak", "hit"),
    [((6, 45), True), ((23, 45), False), ((22, 45), True), ((6, 25), False), ((6, 26), True)],
)
def test_a_hit_lies_strictly_within_the_radius(peak: tuple[int, int], hit: bool) -> None:
    maps, masks = scene()
    maps[(0, *peak)] = 3
    found = pointing(maps, masks)
    assert found.hits.tolist() == [hit]
    assert found.centre_hits.tolist() == [False]  # (19, 29): 11 rows and 11 columns, 15.6 pixels


def test_rows_are_rows_and_columns_are_columns() -> None:
    """A map of a wide image that is turned points elsewhere."""
    maps, masks = torch.zeros(1, 40, 40), torch.zeros(1, 40, 40, dtype=torch.bool)
    masks[0, 5:9, 30:40] = True
    maps[0, 6, 39] = 1
    assert bool(pointing(maps, masks, radius=3).hits)
    assert not bool(pointing(maps.transpose(1, 2), masks, radius=3).hits)


def test_the_maximum_counts_not_the_mass() -> None:
    maps, masks = scene()
    maps[0] = 0.9
    maps[0, 7, 44] = 1
    assert bool(pointing(maps, masks, radius=1).hits)


def test_chance_is_the_share_of_the_grown_object() -> None:
    maps, masks = scene()
    near = [
        (row, column)
        for row in range(40)
        for column in range(60)
        if min((row - r) ** 2 + (column - c) ** 2 for r in range(5, 9) for c in range(40, 50)) < 25
    ]
    assert pointing(maps, masks, radius=5).chance == pytest.approx(len(near) / 2_400)
    share = pointing(maps, masks, radius=0).chance
    assert share == pytest.approx(40 / 2_400)


def test_a_map_of_noise_hits_by_chance_and_the_centre_by_where_the_object_is() -> None:
    draw = torch.Generator().manual_seed(1)
    maps = torch.rand(800, 30, 30, generator=draw)
    masks = torch.zeros(800, 30, 30, dtype=torch.bool)
    masks[:, 2:8, 3:12] = True
    masks[:200, 14:16, 14:16] = True
    found = pointing(maps, masks, radius=4)
    assert found.share.low < found.chance < found.share.high
    assert found.centre.value == 0.25
