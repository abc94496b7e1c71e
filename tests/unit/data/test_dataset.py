"""Prepared sets: warm and cold alike, the test split out of reach until it is opened."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from striate.data import (
    Dataset,
    ImageSpec,
    clear_cache,
    decode_image,
    decoding,
    list_cache,
    open_source,
    prepare,
)
from striate.data import build as build_module
from striate.data.dataset import _DECODED_ANEW
from striate.data.seal import issue
from striate.errors import DataError, SealedTestError, StorageError
from striate.folders import cache_dir

ConfigOf = Callable[..., object]
WriteTree = Callable[..., Path]


def opened(data: Dataset):
    return data.test.read(issue(data.test.digest, 1, "0" * 64))


def everything(data: Dataset) -> dict[str, tuple[int, bytes, str]]:
    """Name -> label, pixels, split."""
    found = {}
    sets = {"train": data.train, "validation": data.validation, "test": opened(data)}
    for split, images in sets.items():
        for name, label, pixels in zip(images.names, images.labels, images.images, strict=True):
            found[name] = (int(label), pixels.tobytes(), split)
    return found


def same(first: Dataset, second: Dataset) -> None:
    for a, b in ((first.train, second.train), (first.validation, second.validation)):
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.labels, b.labels)
        assert (a.names, a.digests) == (b.names, b.digests)
    assert everything(first) == everything(second)
    assert first.digest == second.digest


def test_pixels_are_those_of_decode_image(photos: Path, config_of: ConfigOf) -> None:
    config = config_of(photos, input_size=(5, 8))
    data = prepare(config)
    assert data.class_names == ("ant", "bee", "cow")
    assert data.train.images.shape == (len(data.train), 5, 8, 3)
    assert data.train.images.dtype == np.uint8
    assert data.train.labels.dtype == np.int64
    for name, (label, pixels, _) in everything(data).items():
        assert name.startswith(data.class_names[label])
        assert decode_image(photos / name, ImageSpec((5, 8), 3)).tobytes() == pixels
    assert len(everything(data)) == 31


def test_describe_counts_without_opening(photos: Path, config_of: ConfigOf) -> None:
    data = prepare(config_of(photos))
    said = data.describe()
    assert said["counts"] == {"train": 22, "validation": 3, "test": 6}
    assert said["counts_per_class"]["test"] == [3, 2, 1]
    assert said["test_origin"] == "held out"
    labels = Counter(label for label, _, split in everything(data).values() if split == "test")
    assert [labels[n] for n in range(3)] == said["counts_per_class"]["test"]


def test_warm_start_reads_no_image(photos: Path, config_of: ConfigOf, monkeypatch) -> None:
    config = config_of(photos)
    cold = prepare(config)

    def refuse(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(decoding, "decode_with_digest", refuse)
    same(cold, prepare(config))
    os.utime(photos / "ant" / "0.png", (1, 1))
    with pytest.raises(AssertionError, match="decoded again"):
        prepare(config)


def test_a_copy_elsewhere_and_packed_has_the_same_split(
    photos: Path, tmp_path: Path, config_of: ConfigOf, pack, monkeypatch
) -> None:
    first = prepare(config_of(photos))
    archive = prepare(config_of(pack(photos, ".tar.gz")))
    same(first, archive)
    # Other names, as after renaming all files: the same pictures are sealed.
    for path in sorted(photos.rglob("*.png")):
        path.rename(path.with_name(f"z{9999 - int(path.stem)}.png"))
    renamed = prepare(config_of(photos))
    assert renamed.test.digest == first.test.digest
    assert set(renamed.train.digests) == set(first.train.digests)
    other_size = prepare(config_of(photos, input_size=(20, 3), channels=1))
    assert other_size.test.digest == first.test.digest
    assert prepare(config_of(photos, split_seed=1)).test.digest != first.test.digest


def test_the_test_split_opens_to_its_own_opening_only(photos: Path, config_of: ConfigOf) -> None:
    data = prepare(config_of(photos))
    with pytest.raises(SealedTestError, match="belongs to the test split"):
        data.test.read(issue("f" * 64, 1, "0" * 64))
    assert len(opened(data)) == data.test.num_items == len(data.test)


@pytest.mark.parametrize("harm", ["deleted", "altered", "cut", "relabelled"])
def test_nothing_but_opening_touches_the_test_files(
    photos: Path, config_of: ConfigOf, harm: str
) -> None:
    config = config_of(photos)
    expected = prepare(config).train.images.tobytes()
    (entry,) = [e for e in list_cache() if e.kind == "images"]
    pixels, items = entry.path / "test" / "pixels.u8", entry.path / "test" / "items.json"
    if harm == "deleted":
        pixels.unlink()
        items.unlink()
    elif harm == "altered":
        content = bytearray(pixels.read_bytes())
        content[17] ^= 1
        pixels.write_bytes(content)
    elif harm == "cut":
        pixels.write_bytes(pixels.read_bytes()[:-1])
    else:
        items.write_text(items.read_text().replace("0", "1", 1))
    data = prepare(config)
    assert data.train.images.tobytes() == expected
    assert data.validation.images.sum() > 0
    assert data.describe()["counts"]["test"] == 6
    assert list_cache()
    with pytest.raises(DataError, match="missing or were altered"):
        opened(data)


WATCHER = """
import sys
touched = []
sys.addaudithook(lambda event, args: touched.append(str(args[0])) if event == "open" else None)
from striate.config import DataConfig
from striate.data import prepare
from striate.data.seal import Opening, issue
from striate.errors import SealedTestError
data = prepare(DataConfig(sys.argv[1], (6, 7), 3))
assert data.train.images.sum() + data.validation.images.sum() + data.train.labels.sum() > 0
data.describe(), repr(data), len(data.test)
refused = []
for forged in (None, Opening(data.test.digest, 1, "")):
    try:
        data.test.read(forged)
    except SealedTestError as error:
        refused.append("striate evaluate RUN" in str(error))
before = [path for path in touched if "/test/" in path.replace(chr(92), "/")]
opened_development = any("development" in path for path in touched)
data.test.read(issue(data.test.digest, 1, ""))
after = [path for path in touched if "/test/" in path.replace(chr(92), "/")]
print(len(before), opened_development, len(after) > 0, refused)
"""


def test_the_system_sees_no_opening_of_test_files(photos: Path, config_of: ConfigOf) -> None:
    """Every `open` of a whole process is watched; opening the split shows that the watch works."""
    prepare(config_of(photos))
    done = subprocess.run(
        [sys.executable, "-c", WATCHER, str(photos)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "0 True True [True, True]"


def test_broken_files_are_listed_or_refused(photos: Path, config_of: ConfigOf) -> None:
    (photos / "ant" / "empty.png").write_bytes(b"")
    (photos / "bee" / "text.png").write_text("no image")
    (photos / "cow" / "cut.png").write_bytes((photos / "cow" / "0.png").read_bytes()[:99])
    data = prepare(config_of(photos))
    assert [(file.name, file.split) for file in data.broken] == [
        ("ant/empty.png", None),
        ("bee/text.png", None),
        ("cow/cut.png", None),
    ]
    assert "empty" in data.broken[0].reason
    assert "not an image" in data.broken[1].reason
    assert any("3 file(s) gave no picture" in note for note in data.notes)
    with pytest.raises(DataError, match=r"(?s)empty\.png: the file is empty.*text\.png"):
        prepare(config_of(photos, strict=True))


def test_files_without_permission_are_broken(photos: Path, config_of: ConfigOf, monkeypatch):
    source = open_source(str(photos))
    read = type(source).read

    def guarded(self, item, limit=None):
        if item.name == "bee/4.png":
            raise PermissionError(13, "Permission denied")
        return read(self, item, limit)

    monkeypatch.setattr(type(source), "read", guarded)
    data = prepare(config_of(photos), source=source)
    assert [(f.name, f.reason) for f in data.broken] == [("bee/4.png", "no permission to read it")]


def test_a_set_of_broken_files_is_refused(tmp_path: Path, config_of: ConfigOf) -> None:
    for name in ("a/1.txt", "b/2.txt"):
        (tmp_path / "x" / name).parent.mkdir(parents=True)
        (tmp_path / "x" / name).write_text("text")
    with pytest.raises(DataError, match="None of the 2 files of x is an image"):
        prepare(config_of(tmp_path / "x"))
    assert [entry.kind for entry in list_cache()] == []


def test_official_splits_and_copies_across_them(
    tmp_path: Path, write_tree: WriteTree, config_of: ConfigOf
) -> None:
    names = [f"train/{c}/{n}.png" for c in ("Ant", "bee") for n in range(9)]
    root = write_tree(tmp_path / "s", names)
    write_tree(root, [f"test/{c}/{n}.png" for c in ("ant", "bee") for n in range(4)], seed=1)
    copy = root / "test" / "ant" / "0.png"
    copy.write_bytes((root / "train" / "Ant" / "5.png").read_bytes())
    data = prepare(config_of(root))
    assert (data.test_origin, len(data.test)) == ("official", 8)
    assert len(data.train) + len(data.validation) == 18
    assert any(note.startswith("1 picture(s) of the test split also occur") for note in data.notes)
    assert any("joined: ant = Ant" in note for note in data.notes)
    assert set(opened(data).names) == {
        f"test/{c}/{n}.png" for c in ("ant", "bee") for n in range(4)
    }


def test_list_and_clear(photos: Path, config_of: ConfigOf) -> None:
    first, second = config_of(photos), config_of(photos, input_size=(4, 4), channels=1)
    data = prepare(first)
    prepare(second)
    names = {entry.name: entry for entry in list_cache()}
    assert set(names) == {"photos 6×7 RGB", "photos 4×4 grey"}
    assert names["photos 6×7 RGB"].num_images == 31
    assert names["photos 6×7 RGB"].num_bytes > 31 * 6 * 7 * 3
    assert [e.name for e in clear_cache(["photos 6×7 RGB"])] == ["photos 6×7 RGB"]
    assert data.train.images.sum() > 0
    same(prepare(first), prepare(first))
    assert len(clear_cache()) == 2
    assert list_cache() == []


@pytest.mark.parametrize("name", ["development/pixels.u8", "development/items.json", "set.json"])
@pytest.mark.parametrize("harm", ["cut", "altered", "deleted"])
def test_a_damaged_set_is_decoded_anew(
    photos: Path, config_of: ConfigOf, name: str, harm: str
) -> None:
    config = config_of(photos)
    first = prepare(config)
    expected = everything(first)
    (entry,) = list_cache()
    path = entry.path / name
    content = bytearray(path.read_bytes())
    if harm == "deleted":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(content[:-3])
    else:
        content[content.index(b"1") if name == "set.json" else 9] ^= 2
        path.write_bytes(content)
    again = prepare(config)
    assert everything(again) == expected
    is_known = (name, harm) != ("set.json", "deleted")
    assert [n for n in again.notes if n not in first.notes] == [_DECODED_ANEW] * is_known
    assert prepare(config).notes == first.notes


def test_a_full_disk_says_so_and_leaves_nothing(photos: Path, config_of, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build_module, "_copy_rows", full)
    with pytest.raises(StorageError, match=r"disk is full.*"):
        prepare(config_of(photos))
    assert list((cache_dir() / "images").glob("*")) == []
    monkeypatch.undo()


def test_progress_ends_at_the_whole(photos: Path, config_of: ConfigOf) -> None:
    told: list[tuple[str, int, int]] = []
    prepare(config_of(photos), progress=lambda *step: told.append(step))
    assert told[-1] == ("decoding images", 31, 31)


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes")
def test_pipes_and_giant_files_do_not_hang_or_fill_memory(photos, config_of, monkeypatch) -> None:
    from striate.data import source as source_module

    os.mkfifo(photos / "ant" / "pipe.png")
    (photos / "bee" / "giant.png").write_bytes(bytes(5000))
    monkeypatch.setattr(source_module, "FILE_LIMIT", 4000)
    data = prepare(config_of(photos))
    assert [file.name for file in data.broken] == ["ant/pipe.png", "bee/giant.png"]
    assert "no plain file" in data.broken[0].reason
    assert "above the limit" in data.broken[1].reason


def test_another_decoder_starts_another_cache(photos: Path, config_of, monkeypatch) -> None:
    from striate.data import cache

    first = prepare(config_of(photos))
    monkeypatch.setattr(cache, "FORMAT", "striate images 1, Pillow 0")
    same(first, prepare(config_of(photos)))
    assert len(list_cache()) == 2
