"""What an inspection says of masks, counted again with numpy."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import striate
from striate.api.inspection import table
from striate.data.field import Finding


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three splits of masks with the ids 0, 1 and 2 = void; one of a single class."""
    draw = np.random.default_rng(4)
    for split in ("train", "val", "test"):
        for n in range(5):
            for kind in ("images", "masks"):
                path = tmp_path / "set" / split / kind / f"{n}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                ids = draw.choice([0, 0, 0, 1, 2], (20, 24)) * (n > 0)
                pixels = draw.integers(0, 256, (20, 24, 3))
                Image.fromarray((pixels if kind == "images" else ids).astype(np.uint8)).save(path)
    (tmp_path / "set" / "classes.txt").write_text("ground\ntree\nvoid\n")
    return tmp_path / "set"


def by_name(found: striate.api.Inspection) -> dict[str, Finding]:
    return {finding.what: finding for finding in found.findings.fields}


def test_balance_by_pixels_and_by_images(folder: Path, tmp_path: Path) -> None:
    found = striate.api.inspect(folder, out=tmp_path / "out")
    rows = by_name(found)
    masks = [
        np.asarray(Image.open(path))
        for split in ("train", "val")
        for path in (folder / split / "masks").iterdir()
    ]
    for name, number in (("ground", 0), ("tree", 1), ("2 (void)", 2)):
        share = np.mean([mask == number for mask in masks])
        held = sum(bool((mask == number).any()) for mask in masks)
        assert rows[name].amount == f"{share:.2%}"
        assert rows[name].text == f"of the pixels, in {held} of 10 masks"
    assert rows["masks"].amount == "10"
    assert rows["masks of one class"].text == "train/images/0.png, val/images/0.png"
    page = found.report.read_text()
    assert "ground" in page
    assert "Suspected labels</h2>" not in page
    console = Console(record=True, width=120)
    console.print(table(found.findings))
    text = console.export_text()
    assert "tree" in text
    assert "suspected labels" not in text


def test_faults_are_named_and_test_masks_are_left_alone(folder: Path, tmp_path: Path) -> None:
    Image.new("L", (24, 21)).save(folder / "train" / "masks" / "1.png")
    Image.new("L", (24, 20), 9).save(folder / "train" / "masks" / "2.png")
    Image.new("L", (24, 20)).save(folder / "train" / "masks" / "3.png", format="JPEG")
    Image.new("L", (7, 7), 77).save(folder / "test" / "masks" / "1.png")
    (folder / "train" / "images" / "4.png").unlink()
    (folder / "train" / "masks" / "0.png").unlink()
    found = striate.api.inspect(folder, out=tmp_path / "out")
    rows = by_name(found)
    assert rows["masks at fault"].amount == "2"
    assert "train/masks/1.png: 21 × 24, its image 20 × 24" in rows["masks at fault"].text
    assert "train/masks/3.png: a JPEG file" in rows["masks at fault"].text
    assert rows["numbers of no class"].amount == "1"
    assert "--set 'task.void=[9]'" in rows["numbers of no class"].text
    notes = " ".join(found.findings.notes)
    assert "1 image(s) without a mask were left out: train/images/0.png." in notes
    assert "1 mask(s) without an image were left out: train/masks/4.png." in notes


def test_masks_of_the_test_split_are_counted_once_it_is_opened(
    folder: Path, tmp_path: Path
) -> None:
    Image.new("L", (24, 20), 77).save(folder / "test" / "masks" / "1.png")
    found = striate.api.inspect(folder, out=tmp_path / "out", open_test_split=True)
    assert by_name(found)["masks"].amount == "15"
    assert by_name(found)["numbers of no class"].text.startswith("77 (6.67% of the pixels")


def test_masks_that_a_training_would_hold_out_are_left_alone(folder: Path, tmp_path: Path) -> None:
    for path in sorted(folder.glob("*/*/*.png")):
        split, kind, name = path.parts[-3:]
        place = tmp_path / "flat" / kind / f"{split}{name}"
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    found = striate.api.inspect(tmp_path / "flat", out=tmp_path / "out")
    assert found.findings.test_origin == "held out"
    num_test = found.findings.splits.count("test")
    assert num_test > 0
    assert by_name(found)["masks"].amount == str(15 - num_test)
