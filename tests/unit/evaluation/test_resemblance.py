"""Test splits that hold images of one that was opened before are recognised, others are not."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data.part import ImageSet
from striate.data.seal import SealedSplit
from striate.evaluation import open_test
from striate.evaluation.resemblance import keep_images, resembling

SIDE = 40


def scenes(count: int, seed: int) -> np.ndarray:
    """(count, 40, 40, 3): noise whose power falls as 1/f², as that of photographs does."""
    draw = np.random.default_rng(seed)
    down, across = np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE), indexing="ij")
    weight = 1 / np.maximum(np.hypot(down, across), 1 / SIDE)
    planes = draw.normal(size=(count, 3, SIDE, SIDE))
    shaped = np.fft.ifft2(np.fft.fft2(planes) * weight).real.transpose(0, 2, 3, 1)
    return (127 + 45 * shaped / shaped.std()).clip(0, 255).astype(np.uint8)


def split_of(pixels: np.ndarray, prefix: str) -> ImageSet:
    digests = tuple(f"{prefix}{i:03d}" for i in range(len(pixels)))
    return ImageSet(pixels, {}, {}, digests, digests)


def saved_again(pixels: np.ndarray) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=60)
    return np.asarray(Image.open(stream).convert("RGB"))


@pytest.fixture
def earlier(run: Path, home: Path) -> ImageSet:
    """120 images of a split that was opened twice."""
    images = split_of(scenes(120, 1), "a")
    for _ in range(2):
        open_test(SealedSplit("a1b2", 120, lambda: images), run_hash="f00d", run_folder=run)
    keep_images("a1b2", images)
    return images


def test_another_share_of_the_same_images_is_recognised(earlier):
    """30 of 60 images were opened before."""
    other = split_of(np.concatenate([earlier.images[:30], scenes(30, 2)]), "b")
    other = ImageSet(other.images, {}, {}, other.names, earlier.digests[:30] + other.digests[30:])
    (found,) = resembling("c3d4", other)
    assert found == ("a1b2", 2, 0.5, True)
    assert "About 50% of these test images were in a test split" in found.sentence()
    assert "opened 2 time(s) before (ledger a1b2)" in found.sentence()


def test_images_that_were_saved_again_are_recognised(earlier):
    copies = np.stack([saved_again(pixels) for pixels in earlier.images[:90]])
    (found,) = resembling("c3d4", split_of(np.concatenate([copies, scenes(90, 3)]), "b"))
    assert not found.is_exact
    assert found.share == pytest.approx(0.5, abs=0.05)
    assert "recompressed" in found.sentence()


def test_other_images_and_the_split_itself_are_not(earlier):
    assert resembling("c3d4", split_of(scenes(120, 4), "b")) == []
    assert resembling("a1b2", earlier) == []


def test_images_too_small_to_be_compared_are_known_by_their_content_alone(run, home):
    draw = np.random.default_rng(5)
    images = split_of(draw.integers(0, 256, (50, 8, 8, 1), dtype=np.uint8), "a")
    open_test(SealedSplit("a1b2", 50, lambda: images), run_hash="f00d", run_folder=run)
    keep_images("a1b2", images)
    assert resembling("c3d4", split_of(images.images, "b")) == []
    assert [found.share for found in resembling("c3d4", images)] == [1.0]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"rubbish"])
def test_a_damaged_file_is_passed_over(earlier, home, content):
    (home / "ledgers" / "a1b2.images.npz").write_bytes(content)
    assert resembling("c3d4", earlier) == []


def test_a_full_disk_keeps_nothing_and_stops_nothing(home, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("striate.durable.write_with", full)
    keep_images("a1b2", split_of(scenes(3, 1), "a"))
    assert not list(home.glob("**/*.npz"))
