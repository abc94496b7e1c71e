"""Small sets of images, written to the disk for each test."""

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.config import DataConfig


@pytest.fixture(autouse=True)
def no_local_sets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named sets of this machine are seen only by tests that ask for real data."""
    if "real_data" not in request.fixturenames:
        monkeypatch.delenv("STRIATE_DATA", raising=False)


@pytest.fixture
def picture() -> Callable[..., np.ndarray]:
    """A random picture, its own for each seed."""

    def make(seed: int, height: int = 9, width: int = 11, channels: int = 3) -> np.ndarray:
        shape = (height, width, channels) if channels > 1 else (height, width)
        return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)

    return make


@pytest.fixture
def write_tree(picture: Callable[..., np.ndarray]) -> Callable[..., Path]:
    """Write PNG files of the given names, each a picture of its own."""

    def write(root: Path, names: Iterable[str], seed: int = 0) -> Path:
        for number, name in enumerate(names):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(1000 * seed + number)).save(path)
        return root

    return write


@pytest.fixture
def photos(tmp_path: Path, write_tree: Callable[..., Path]) -> Path:
    """Three classes of 13, 11 and 7 pictures, not split."""
    names = [
        f"{of_class}/{n}.png"
        for of_class, count in (("ant", 13), ("bee", 11), ("cow", 7))
        for n in range(count)
    ]
    return write_tree(tmp_path / "photos", names)


@pytest.fixture
def pack() -> Callable[..., Path]:
    """Pack a folder, inside a folder of its own name, as people do."""

    def make(folder: Path, ending: str) -> Path:
        path = folder.with_name(folder.name + ending)
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        if ending == ".zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                for file in reversed(files):
                    archive.write(file, f"{folder.name}/{file.relative_to(folder)}")
            return path
        packing = ending.removeprefix(".tar").removeprefix(".")
        with tarfile.open(path, f"w:{packing}") as archive:
            for file in reversed(files):
                archive.add(file, f"{folder.name}/{file.relative_to(folder)}")
        return path

    return make


@pytest.fixture
def config_of() -> Callable[..., DataConfig]:
    """A config for small pictures."""

    def make(source: Path | str, **changed: object) -> DataConfig:
        fields: dict[str, object] = {"input_size": (6, 7), "channels": 3, **changed}
        return DataConfig(source=str(source), **fields)  # type: ignore[arg-type]

    return make


@pytest.fixture
def encoded() -> Callable[..., bytes]:
    """A PIL image as the bytes of a file."""

    def encode(image: Image.Image, kind: str, **options: object) -> bytes:
        stream = io.BytesIO()
        image.save(stream, kind, **options)
        return stream.getvalue()

    return encode
