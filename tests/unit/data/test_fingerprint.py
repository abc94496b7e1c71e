"""Sets whose files were exchanged, rewritten or put right are not those that the cache holds."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data import open_source, prepare, survey
from striate.data import source as source_module
from striate.data.mask_scan import scan_masks
from striate.errors import DataError

ConfigOf = Callable[..., object]
LONG_AGO = (1_000_000_000, 1_000_000_000)


def bitmap(path: Path, grey: int) -> None:
    """A picture of its own, whose file has the size and the time of all others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(grey).integers(0, 256, (9, 9), dtype=np.uint8)
    Image.fromarray(values).save(path)
    os.utime(path, LONG_AGO)


def exchange(one: Path, other: Path) -> None:
    between = one.with_name("between")
    one.rename(between)
    other.rename(one)
    between.rename(other)


@pytest.fixture
def bitmaps(tmp_path: Path) -> Path:
    for kind, name in enumerate(("cat", "cow")):
        for number in range(8):
            bitmap(tmp_path / "set" / name / f"{number}.pgm", 10 * kind + number)
    return tmp_path / "set"


@pytest.fixture
def listed(bitmaps: Path) -> Path:
    path = bitmaps.with_name("set.csv")
    rows = [f"set/{c}/{n}.pgm,{c}" for c in ("cat", "cow") for n in range(8)]
    path.write_text("\n".join(["path,label", *rows]))
    return path


@pytest.mark.parametrize("form", ["folder", "list"])
def test_moved_images_of_equal_size_and_time_are_seen(
    bitmaps: Path, listed: Path, config_of: ConfigOf, form: str
) -> None:
    config = config_of(bitmaps if form == "folder" else listed)
    before = prepare(config)
    for number in range(4):
        exchange(bitmaps / "cat" / f"{number}.pgm", bitmaps / "cow" / f"{number}.pgm")
    after = prepare(config)
    assert after.digest != before.digest
    exchange(bitmaps / "cat" / "0.pgm", bitmaps / "cow" / "0.pgm")
    assert prepare(config).digest not in (before.digest, after.digest)


@pytest.mark.parametrize("kind", ["archive", "array", "shard"])
def test_a_file_rewritten_in_place_with_its_size_and_time_is_seen(
    tmp_path: Path, bitmaps: Path, pack, kind: str
) -> None:
    if kind == "array":
        path = tmp_path / "a.npz"
        np.savez(path, x=np.zeros((4, 3, 3), np.uint8), y=np.arange(4) % 2)
    else:
        path = pack(bitmaps, ".tar")
    if kind == "shard":
        (tmp_path / "shards").mkdir()
        path = path.rename(tmp_path / "shards" / "train-0.tar")
    os.utime(path, LONG_AGO)
    name = str(path.parent if kind == "shard" else path)
    before = open_source(name).fingerprint()
    assert open_source(name).fingerprint() == before
    with open(path, "rb+") as stream:
        stream.seek(600)
        stream.write(b"x")
    os.utime(path, LONG_AGO)
    assert open_source(name).fingerprint() != before


def test_content_counts_where_a_file_system_gives_no_number(
    bitmaps: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = os.stat

    def numberless(path, **options):
        values = list(stat(path, **options))
        values[1] = 0
        return os.stat_result(values)

    monkeypatch.setattr(source_module.os, "stat", numberless)
    path = str(bitmaps / "cat" / "0.pgm")
    before = source_module.file_state(path)
    assert source_module.file_state(path) == before
    bitmap(Path(path), 99)
    assert source_module.file_state(path) != before


def guarded(source, monkeypatch: pytest.MonkeyPatch, error: OSError, *names: str) -> None:
    read = type(source).read

    def refuse(self, item, limit=None):
        if item.name in names:
            raise error
        return read(self, item, limit)

    monkeypatch.setattr(type(source), "read", refuse)


@pytest.mark.parametrize("error", [PermissionError(13, "no"), OSError(5, "Input/output error")])
def test_reasons_outside_a_file_are_not_remembered(
    bitmaps: Path, config_of: ConfigOf, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    with monkeypatch.context() as patch:
        guarded(open_source(str(bitmaps)), patch, error, "cat/0.pgm", "cat/1.pgm")
        assert len(prepare(config_of(bitmaps)).broken) == 2
        assert survey(open_source(str(bitmaps))).num_broken == 2
    mended = prepare(config_of(bitmaps, strict=True))
    assert mended.broken == ()
    assert len(mended.train) + len(mended.validation) + len(mended.test) == 16
    assert survey(open_source(str(bitmaps))).num_broken == 0


def test_reasons_of_a_file_itself_are_remembered(
    bitmaps: Path, config_of: ConfigOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bitmaps / "cat" / "9.pgm").write_bytes(b"")
    (bitmaps / "cat" / "gone.pgm").symlink_to("nowhere.pgm")
    first = prepare(config_of(bitmaps))
    assert [file.name for file in first.broken] == ["cat/9.pgm", "cat/gone.pgm"]

    def refuse(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(type(open_source(str(bitmaps))), "read", refuse)
    assert prepare(config_of(bitmaps)).broken == first.broken


def test_masks_that_could_not_be_read_are_read_another_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        for part in ("images", "masks"):
            bitmap(tmp_path / "s" / part / f"{number}.png", number)
    source = open_source(str(tmp_path / "s"))
    with monkeypatch.context() as patch:
        guarded(source, patch, OSError(5, "Input/output error"), "masks/2.png")
        problems = scan_masks(source, source.items).problems
    assert problems == {"masks/2.png": "it cannot be read (Input/output error)"}
    assert scan_masks(source, source.items).problems == {}


def test_encrypted_archives_are_called_so(tmp_path: Path, bitmaps: Path, pack) -> None:
    path = pack(bitmaps, ".zip")
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        first = archive.infolist()[0].filename.encode()
    # Bit 0 of the flags in the central directory says that a member is encrypted.
    start = content.find(b"PK\x01\x02")
    while start >= 0:
        content[start + 8] |= 1
        start = content.find(b"PK\x01\x02", start + 4)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"is encrypted\. Unpack it with its password"):
        _ = open_source(str(path)).items
    start = content.find(b"PK\x01\x02")
    content[start + 8] &= 0xFE
    path.write_bytes(content)
    source = open_source(str(path))
    reasons = {
        item.name: str(c) for item, c in source.stream(source.items) if isinstance(c, OSError)
    }
    assert len(reasons) == 15
    assert first.decode().partition("/")[2] not in reasons
    assert set(reasons.values()) == {"it is encrypted"}
