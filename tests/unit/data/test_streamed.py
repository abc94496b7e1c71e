"""A streamed set is the cached set in all but where its pixels come from."""

import io
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from striate.config import DataConfig
from striate.data import (
    BatchLoader,
    ImageSpec,
    Item,
    Normalisation,
    cache,
    open_source,
    prepare,
)
from striate.data.seal import issue
from striate.data.streamed import StreamedImages
from striate.errors import DataError

Config = Callable[..., DataConfig]


@pytest.fixture
def shards(photos: Path) -> Path:
    """The photos in four class-folder shards, one file of them broken."""
    folder = photos.with_name("shards")
    folder.mkdir()
    files = sorted(photos.rglob("*.png"))
    (photos / "cow" / "6.png").write_bytes(b"not a picture")
    for number in range(4):
        with tarfile.open(folder / f"photos-{number}.tar", "w") as archive:
            for file in files[number::4]:
                member = tarfile.TarInfo(str(file.relative_to(photos)))
                content = file.read_bytes()
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return folder


def same(a, b) -> None:
    assert a.names == b.names
    assert a.digests == b.digests
    np.testing.assert_array_equal(a.labels, b.labels)
    np.testing.assert_array_equal(a.images[:], b.images[:])


@pytest.mark.parametrize("kind", ["folder", ".zip", ".tar", "shards"])
def test_splits_pixels_and_digests_are_those_of_the_cache(
    kind: str, photos: Path, shards: Path, pack: Callable[..., Path], config_of: Config
) -> None:
    place = {"folder": photos, "shards": shards}.get(kind) or pack(photos, kind)
    cached = prepare(config_of(place))
    config = replace(cached_config := config_of(place), streaming=True)
    assert config != cached_config
    for _ in range(2):  # looked through, then remembered
        streamed = prepare(config)
        assert isinstance(streamed.train.images, StreamedImages)
        assert not isinstance(cached.train.images, StreamedImages)
        same(streamed.train, cached.train)
        same(streamed.validation, cached.validation)
        assert streamed.digest == cached.digest
        assert streamed.test.digest == cached.test.digest
        assert [file.name for file in streamed.broken] == ["cow/6.png"]
    opened = [each.test.read(issue(each.test.digest, 1, "0")) for each in (streamed, cached)]
    same(*opened)
    folder = next(path for path in cache.images_dir().iterdir() if (path / "test").is_dir())
    names = {path.name for path in cache.images_dir().rglob("*.u8")}
    assert names == {"pixels.u8"}, folder
    assert len(list(cache.images_dir().rglob("pixels.u8"))) == 2  # of the cached set alone


def test_batches_are_functions_of_their_step(shards: Path, config_of: Config) -> None:
    data = prepare(config_of(shards, streaming=True))
    normalise = Normalisation.measure(data.train.images)
    one, other = (BatchLoader(data.train, 5, 3, normalise) for _ in range(2))
    try:
        batches = [next(one) for _ in range(9)]
        for step in (7, 2, 8):
            other.load_state_dict({"position": step, "seed": 3})
            batch = next(other)
            assert torch.equal(batch["image"], batches[step]["image"])
            assert torch.equal(batch["category"], batches[step]["category"])
        epoch = np.concatenate([one.items(step) for step in range(len(data.train))])
        for start in range(0, len(epoch), len(data.train)):
            assert sorted(epoch[start : start + len(data.train)]) == [*range(len(data.train))]
    finally:
        one.close()
        other.close()


def test_an_epoch_reads_shard_after_shard_in_an_order_of_its_own() -> None:
    shards = np.repeat(np.arange(7), 9000)
    items = [Item("a", 0, None)] * len(shards)
    images = StreamedImages(lambda item: b"", items, ImageSpec((6, 7), 3), shards=shards)
    orders = [images.order(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])
    for order in orders:
        assert sorted(order) == [*range(len(shards))]
        # Images move by at most 4096 places, so that two shards at a time are being read.
        for start in range(0, len(order), 9000):
            assert len(set(shards[order[start : start + 4000]])) <= 3
        within = order[:4000]
        assert np.abs(np.diff(within)).mean() > 500  # mixed, not read off in order
    firsts = {int(shards[images.order(torch.Generator().manual_seed(s))[0]]) for s in range(40)}
    assert len(firsts) >= 6


def test_what_changes_after_the_set_was_looked_through_is_told(
    photos: Path, config_of: Config
) -> None:
    data = prepare(config_of(photos, streaming=True))
    path = photos / data.train.names[3]
    kept = path.read_bytes()
    path.write_bytes(kept[:30])
    with pytest.raises(DataError, match=f"{data.train.names[3]} could be read when .* Restore it"):
        data.train.images[np.array([0, 3])]
    path.unlink()
    with pytest.raises(DataError, match="cannot be read now"):
        data.train.images[3]
    path.write_bytes(kept)
    assert data.train.images[3].shape == (6, 7, 3)


def test_an_exchanged_test_image_does_not_pass_unseen(photos: Path, config_of: Config) -> None:
    data = prepare(config_of(photos, streaming=True))
    test = data.test.read(issue(data.test.digest, 1, "0"))
    place = photos / test.names[0]
    status = place.stat()
    place.write_bytes((photos / data.train.names[0]).read_bytes())
    os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(DataError, match="another picture than when the set was looked through"):
        test.images[0:3]


def test_what_is_packed_one_behind_the_other_cannot_be_streamed(
    photos: Path, pack: Callable[..., Path], config_of: Config
) -> None:
    with pytest.raises(DataError, match=r"cannot be streamed.*Leave out data.streaming"):
        prepare(config_of(pack(photos, ".tar.gz"), streaming=True))
    assert not open_source("digits").random_access


def test_rows_are_read_as_from_an_array(photos: Path, config_of: Config) -> None:
    images = prepare(config_of(photos, streaming=True)).train.images
    assert isinstance(images, StreamedImages)
    whole = images[:]
    assert images.shape == whole.shape
    assert (images.ndim, images.dtype) == (whole.ndim, whole.dtype)
    for rows in (slice(2, 9, 3), np.array([4, 0, 4]), slice(5, 5), -1, np.int64(2)):
        np.testing.assert_array_equal(images[rows], whole[rows])
    np.testing.assert_array_equal(images.part(np.array([7, 3, 5, 4]))[1:3], whole[[3, 5]])
    np.testing.assert_array_equal(images.sample(3), whole[[0, round((len(whole) - 1) / 2), -1]])
    with pytest.raises(IndexError, match="out of bounds"):
        images[len(whole)]
