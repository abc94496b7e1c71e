"""A cache that cannot be written, or is too small, is told before anything is read."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from striate.data import ImageSpec, clear_cache, list_cache, open_source, prepare, survey
from striate.data.folder import FolderSource
from striate.data.measured import measured_part
from striate.errors import DataError, StorageError

ConfigOf = Callable[..., object]


def refuse_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("something was read")

    monkeypatch.setattr(FolderSource, "read", refuse)


@pytest.mark.parametrize("spare", [-1, 0])
def test_a_set_larger_than_the_disk_is_refused_before_decoding(
    photos: Path, config_of: ConfigOf, monkeypatch: pytest.MonkeyPatch, spare: int
) -> None:
    pixels, thumbnails = 300 * 301 * 3, 32 * 32 * 3
    needed = 31 * (2 * pixels + thumbnails)
    usage = SimpleNamespace(total=2**40, used=0, free=needed + spare)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    config = config_of(photos, input_size=(300, 301))
    if spare == 0:
        assert len(prepare(config).train) == 22
        return
    refuse_reading(monkeypatch)
    said = r"photos needs 16\.11 MiB .* where 16\.11 MiB are free.*data\.input_size.*STRIATE_CACHE"
    with pytest.raises(DataError, match=said):
        prepare(config)
    assert list_cache() == []
    streamed = config_of(photos, input_size=(300, 301), streaming=True)
    usage.free = 31 * thumbnails - 1
    with pytest.raises(DataError, match=r"thumbnails .* photos .*need 0\.09 MiB .* Make room"):
        prepare(streamed)
    usage.free = 31 * pixels - 1
    with pytest.raises(DataError, match=r"needs 8\.01 MiB"):
        measured_part(open_source(str(photos)), ImageSpec((300, 301), 3))


@pytest.mark.parametrize("read", ["prepare", "survey", "measured"])
@pytest.mark.parametrize("obstacle", ["file", "rights", "lock"])
def test_a_cache_that_cannot_be_written_is_told_first(
    photos: Path,
    tmp_path: Path,
    config_of: ConfigOf,
    monkeypatch: pytest.MonkeyPatch,
    obstacle: str,
    read: str,
) -> None:
    if obstacle == "file":
        (tmp_path / "file").write_bytes(b"")
        monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "file" / "cache"))
    elif obstacle == "rights":

        def closed(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(tempfile, "TemporaryFile", closed)
    elif read == "prepare":

        def refuse(*_: object, **__: object) -> None:
            raise OSError(37, "No locks available")

        monkeypatch.setattr(fcntl, "flock", refuse)
    else:
        pytest.skip("takes no lock")
    refuse_reading(monkeypatch)
    readers: dict[str, Callable[[], object]] = {
        "prepare": lambda: prepare(config_of(photos)),
        "survey": lambda: survey(open_source(str(photos))),
        "measured": lambda: measured_part(open_source(str(photos)), ImageSpec((5, 6), 3)),
    }
    with pytest.raises(StorageError, match=r"could not be written: .+, or set \$STRIATE_CACHE"):
        readers[read]()


def test_a_set_that_lies_decoded_needs_no_right_to_write(
    photos: Path, config_of: ConfigOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare(config_of(photos))
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert prepare(config_of(photos)).digest == first.digest


def test_clearing_a_set_that_is_not_there(photos: Path, config_of: ConfigOf) -> None:
    with pytest.raises(DataError, match=r"no cached set named 'nope'\. Known: none"):
        clear_cache(["nope"])
    prepare(config_of(photos))
    said = r"'nope'\. Known: photos 6×7 RGB\.\n.*'photos 6x7 RGB'\. Did you mean 'photos 6×7 RGB'"
    with pytest.raises(DataError, match=said):
        clear_cache(["nope", "photos 6×7 RGB", "photos 6x7 RGB"])
    assert len(list_cache()) == 1
    assert len(clear_cache([list_cache()[0].path.name])) == 1


def test_broken_files_are_named_in_the_note(photos: Path, config_of: ConfigOf) -> None:
    for number in range(8):
        (photos / "ant" / f"z{number}.png").write_bytes(b"")
    note = prepare(config_of(photos)).notes[-1]
    named = "; ".join(f"ant/z{number}.png: the file is empty" for number in range(5))
    assert note == (
        f"8 file(s) gave no picture and were left out ({named}; and 3 more). All are listed by "
        "name in the run's report."
    )
