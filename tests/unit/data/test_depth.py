"""Pictures of fewer bits than their files: twelve of sixteen do not become nearly black."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.config import DataConfig
from striate.data import BrokenImage, ImageSpec, decode_image, open_source, prepare, survey
from striate.inspection.scan import scan
from striate.settings import Settings
from striate.training.planner import decide


def write(folder: Path, most: int, ending: str = ".png") -> Path:
    """Two classes of seven 16-bit pictures with values up to `most`."""
    for kind in range(2):
        (folder / "ab"[kind]).mkdir(parents=True, exist_ok=True)
        for number in range(7):
            draw = np.random.default_rng([kind, number])
            values = draw.integers(0, most, (6, 8)).astype(np.uint16)
            values[0, :2] = 0, most
            Image.fromarray(values).save(folder / "ab"[kind] / f"{number}{ending}")
    return folder


def planned(folder: Path, **data: object) -> tuple[DataConfig, dict[str, tuple[str, str]]]:
    settings: Settings = {"training": {"steps": 3}, "network": {"name": "linear"}, "data": data}
    config, choices = decide(str(folder), survey(open_source(str(folder))), settings)
    return config.data, {choice.what: (choice.value, choice.why) for choice in choices}


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize(("most", "bits"), [(4095, 12), (200, 8), (900, 10), (9000, 14)])
def test_the_depth_follows_from_the_values_and_is_said(
    tmp_path: Path, most: int, bits: int, ending: str
) -> None:
    config, choices = planned(write(tmp_path / "s", most, ending))
    assert config.bits == bits
    why = f"no value of the 16-bit images is above {most:,}"
    assert choices["depth"] == (f"{bits} bits", why)
    levels = prepare(config).train.images
    assert levels.min() == 0
    assert levels.max() == round(255 * most / (2**bits - 1))


def test_full_depth_and_eight_bit_files_leave_no_trace(tmp_path: Path) -> None:
    config, choices = planned(write(tmp_path / "s", 40_000))
    assert (config.bits, "depth" in choices) == (16, False)
    folder = tmp_path / "eight"
    for name in ("a/0.png", "a/1.png", "b/0.png", "b/1.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), len(name)).save(folder / name)
    surveyed = survey(open_source(str(folder)))
    assert (surveyed.bits, surveyed.largest) == (None, None)
    assert "bits" not in ImageSpec((4, 4), 1).to_json()


def test_a_person_may_know_better(tmp_path: Path) -> None:
    config, choices = planned(write(tmp_path / "s", 4095), bits=16)
    assert config.bits == 16
    assert choices["depth"] == ("16", "as asked")
    assert prepare(config).train.images.max() == 16


def test_one_picture_beyond_the_depth_is_no_clipped_one(tmp_path: Path) -> None:
    values = np.array([[0, 4095], [2048, 5000]], np.uint16)
    with pytest.raises(BrokenImage, match=r"from 0 to 5000, which 12 bits do not.*data\.bits=16"):
        decode_image(values, ImageSpec((2, 2), 1, bits=12))
    values[1, 1] = 4095
    twelve = decode_image(values, ImageSpec((2, 2), 1, bits=12))[..., 0]
    assert twelve.tolist() == [[0, 255], [128, 255]]


def test_grey_and_alpha_do_not_change_with_the_depth(encoded: Callable[..., bytes]) -> None:
    content = encoded(Image.new("L", (2, 2), 77), "PNG")
    sizes = [decode_image(content, ImageSpec((2, 2), 1, bits=bits)) for bits in (12, 16)]
    assert sizes[0].tolist() == sizes[1].tolist()


def test_an_inspection_sees_the_same_picture(tmp_path: Path) -> None:
    found = scan(open_source(str(write(tmp_path / "s", 4095))))
    assert found.bits == 12
    assert found.thumbnails.max() > 200
