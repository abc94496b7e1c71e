"""A folder of images stays the same set when runs are written into it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from striate.data import decoding, open_source, prepare
from striate.data.layout import Entry
from striate.data.written import outside_runs

RUN = ("run.json", "events.jsonl", "checkpoints/1.safetensors", "figures/a.png")


def write_run(folder: Path, names: tuple[str, ...] = RUN) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


@pytest.mark.parametrize("place", ["runs/a", "a", "runs/sweep/one/a", "ant/a", "ant/deep/runs/a"])
def test_training_again_is_a_warm_start(
    photos: Path, config_of: Callable[..., object], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    first = prepare(config_of(photos))
    write_run(photos / place)
    write_run((photos / place).with_name("b"), ("run.json", "checkpoints/last.json"))

    def refuse(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(decoding, "decode_with_digest", refuse)
    again = prepare(config_of(photos))
    assert (again.digest, again.notes) == (first.digest, first.notes)
    assert open_source(str(photos)).class_names == ("ant", "bee", "cow")


def test_runs_beside_split_folders_and_in_archives(
    tmp_path: Path, write_tree: Callable[..., Path], pack: Callable[..., Path]
) -> None:
    names = [f"{s}/{c}/{n}.png" for s in ("train", "test") for c in "ab" for n in range(2)]
    root = write_tree(tmp_path / "s", names)
    write_run(root / "runs" / "one")
    for path in (root, pack(root, ".zip"), pack(root, ".tar.gz")):
        source = open_source(str(path))
        assert [item.name for item in source.items] == sorted(names)
        assert source.notes == ()


def kept(files: list[tuple[str, ...]], folders: list[tuple[str, ...]]) -> tuple[list, list]:
    entries, belonging = outside_runs([Entry(parts, None) for parts in files], folders)
    return [entry.parts for entry in entries], belonging


def test_what_only_resembles_a_run_is_kept() -> None:
    files = [
        ("cat", "run.json"),
        ("cat", "1.png"),
        ("runs", "one", "run.json"),
        ("runs", "one", "events.jsonl"),
        ("runs", "photo.png"),
        ("events.jsonl",),
        ("run.json",),
    ]
    entries, folders = kept(files, [("cat",), ("runs",), ("runs", "one")])
    assert entries == [files[0], files[1], files[4], files[5], files[6]]
    assert folders == [("cat",), ("runs",)]


def test_runs_of_a_training_that_was_cut_short() -> None:
    files = [("cat", "1.png"), ("dog", "runs", "2.png")]
    folders = [("cat",), ("dog",), ("dog", "runs"), ("runs",), ("runs", "a")]
    assert kept(files, folders) == (files, folders[:3])
