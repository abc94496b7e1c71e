"""Small folders of images and runs on them, as a person has them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import command_line
from typecheck import annotations_unchecked  # noqa: F401 - a fixture


def write_photographs(folder: Path, *, per_class: int = 30, side: int = 12) -> Path:
    """Three classes of small colour images that a network can tell apart, with noise."""
    draw = np.random.default_rng(7)
    rows, columns = np.mgrid[0:side, 0:side] / side
    patterns = {"stripes": np.sin(20 * rows), "posts": np.sin(20 * columns), "hill": rows * columns}
    for name, pattern in patterns.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            shade = draw.uniform(40, 120, 3)
            noise = draw.normal(0, 20, (side, side, 3))
            pixels = 128 + pattern[..., None] * shade + noise
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(folder / name / f"{number:03d}.png")
    return folder


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    return write_photographs(tmp_path / "photographs")


@pytest.fixture(scope="session")
def shared_photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, for runs that several tests read and none changes."""
    return write_photographs(tmp_path_factory.mktemp("shared") / "photographs")


@pytest.fixture(scope="session", autouse=True)
def server_ends():
    """No process that runs commands outlives the tests."""
    yield
    command_line.stop()


@pytest.fixture(name="striate")
def striate_command():
    """Run the command line in a process of its own."""
    return command_line.run
