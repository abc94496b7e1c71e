"""Class folders cut out of larger pictures: blood cells by their boxes, characters of captchas.

    python benchmarks/cut.py cells BCCD/ cells/
    python benchmarks/cut.py characters captchas/ characters/

`cells` reads VOC annotations, one XML file for each picture, keeps the splits of ImageSets/Main and
leaves out boxes without area; a cell is its box and an eighth of its sides around it. `characters`
cuts pictures whose name is their text into as many columns of equal width as it has characters, and
holds the last fifth of the pictures, by name, as the test split.
"""

import argparse
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

Piece = tuple[str, str, str, Image.Image]
"""Split, class, name and picture."""


def cells(folder: Path) -> Iterator[Piece]:
    """The objects of VOC annotations, by split."""
    for split in ("train", "val", "test"):
        for name in (folder / "ImageSets" / "Main" / f"{split}.txt").read_text().split():
            picture = Image.open(folder / "JPEGImages" / f"{name}.jpg").convert("RGB")
            tree = ET.parse(folder / "Annotations" / f"{name}.xml")
            for number, found in enumerate(tree.iter("object")):
                box = [int(found.findtext(f"bndbox/{end}") or 0) for end in
                       ("xmin", "ymin", "xmax", "ymax")]  # fmt: skip
                width, height = box[2] - box[0], box[3] - box[1]
                if min(width, height) <= 0:
                    continue
                wide, high = width // 8, height // 8
                around = (box[0] - wide, box[1] - high, box[2] + wide, box[3] + high)
                within = (max(0, around[0]), max(0, around[1]), around[2], around[3])
                end = (min(picture.width, within[2]), min(picture.height, within[3]))
                label = found.findtext("name") or ""
                yield split, label, f"{name}_{number}", picture.crop((*within[:2], *end))


def characters(folder: Path) -> Iterator[Piece]:
    """The columns of pictures whose names are their texts."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".png", ".jpg"))
    for i, path in enumerate(paths):
        picture, text = Image.open(path), path.stem
        width = picture.width / len(text)
        split = "train" if i < 0.8 * len(paths) else "test"
        for k, label in enumerate(text):
            column = (round(k * width), 0, round((k + 1) * width), picture.height)
            yield split, label, f"{text}_{k}", picture.crop(column)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("cells", "characters"))
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    pieces = {"cells": cells, "characters": characters}[arguments.what](arguments.source)
    for split, label, name, picture in pieces:
        folder = arguments.out / split / label
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(folder / f"{name}.png")


if __name__ == "__main__":
    main()
