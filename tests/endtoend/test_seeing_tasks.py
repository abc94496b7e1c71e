"""Galleries and evidence of every task: what works where is what the documentation's table says."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate import api
from striate.api.explanation import why
from striate.api.seeing import see
from striate.seeing.parts import PARTS

QUICK = ("execution.threads=1", "training.batch_size=8", "data.leaks=allow")
ALL = [
    "attribution", "filters", "maps", "patches", "deconvnet", "dream", "embedding", "separability",
    "boundary", "landscape",
]  # fmt: skip


def discs(folder: Path, count: int = 40) -> list[dict[str, Any]]:
    """Pictures with a bright disc, its mask, its radius, and where it lies."""
    draw = np.random.default_rng(0)
    rows = []
    y, x = np.mgrid[:24, :24]
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for n in range(count):
        row, column, radius = draw.integers(6, 18), draw.integers(6, 18), draw.uniform(2, 6)
        inside = (y - row) ** 2 + (x - column) ** 2 <= radius**2
        pixels = (draw.integers(0, 60, (24, 24)) + 150 * inside).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{n:02}.png")
        Image.fromarray(inside).save(folder / "masks" / f"{n:02}.png")
        place = [w for w, there in (("top", row < 12), ("left", column < 12)) if there]
        rows.append({"name": f"{n:02}.png", "radius": f"{radius:.3f}", "place": " ".join(place)})
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("discs")


@pytest.fixture(scope="module")
def runs(folder: Path) -> dict[str, api.Run]:
    """A run of each task, of a few steps."""
    rows = discs(folder / "set")
    tables = {"radius": ("filename", "radius"), "place": ("filename", "labels")}
    for column, heads in tables.items():
        with open(folder / "set" / "images" / f"{column}.csv", "w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(heads)
            writer.writerows([row["name"], row[column]] for row in rows)
    found = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("STRIATE_CACHE", str(folder / "cache"))
        patched.setenv("STRIATE_HOME", str(folder / "home"))
        small = ("network.depth=8", "network.width=4")
        options: dict[str, Any] = {"steps": 6, "network": "resnet"}
        images = folder / "set" / "images"
        found["value"] = api.train(
            images / "radius.csv", out=folder / "value", assignments=(*QUICK, *small), **options
        )
        found["labels"] = api.train(
            images / "place.csv",
            out=folder / "labels",
            assignments=(*QUICK, *small),
            task="labels",
            **options,
        )
        shapes = folder / "shapes"
        shapes.mkdir()
        for name in ("images", "masks"):
            (shapes / name).symlink_to(folder / "set" / name)
        found["mask"] = api.train(
            folder / "set",
            out=folder / "mask",
            assignments=(*QUICK, "network.width=4", "network.depth=1"),
            steps=6,
        )
    return found


@pytest.mark.parametrize("kind", ["value", "labels", "mask"])
def test_every_part_is_drawn_or_says_why_not(
    kind: str, runs: dict[str, api.Run], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(folder / "cache"))
    monkeypatch.setenv("STRIATE_HOME", str(folder / "home"))
    run = runs[kind]
    page = see(run, ALL, out=folder / f"seen-{kind}")
    panels = {p["name"]: p for p in json.loads((page.parent / "gallery.json").read_text())}
    assert panels["attribution"]["pictures"]
    assert any(name.startswith("patches-") for name in panels)
    assert "these have none" in panels["separability"]["caption"]
    assert panels["landscape"]["pictures"]


@pytest.mark.parametrize(
    ("kind", "explained"), [("value", ["radius"]), ("labels", None), ("mask", None)]
)
def test_the_numbers_of_each_task_are_explained(
    kind: str,
    explained: list[str] | None,
    runs: dict[str, api.Run],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(folder / "cache"))
    monkeypatch.setenv("STRIATE_HOME", str(folder / "home"))
    image = folder / "set" / "images" / "03.png"
    found = why(runs[kind], image, out=folder / f"why-{kind}")
    names = found.to_json()["explained"]
    assert names
    if explained is not None:
        assert names == explained
    assert found.page.is_file()
    if kind == "mask":
        at = why(runs[kind], image, at=(3, 4), out=folder / "why-at")
        assert len(at.to_json()["explained"]) == 1


def test_the_documentation_names_every_part() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "see.md").read_text("utf-8")
    shown, where = page.split("| | classes |")[0], page.split("| | classes |")[1]
    table = where.split("\n\n")[0]
    for name in PARTS:
        assert f"`{name}`" in shown, name
        assert f"`{name}`" in table, name
    for line in table.splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert len(cells) == 5
        assert all(cells)
        assert not any(cell == "no" for cell in cells)  # each has its reason
