"""Checkpoints: what goes in comes out bit for bit; damage is told; nothing good is lost."""

import errno
import json

import pytest
import torch
from safetensors.torch import save_file

from striate import durable
from striate.errors import CheckpointError, StorageError
from striate.training.checkpoint import (
    CheckpointStore,
    _digest,
    flatten,
    read_checkpoint,
    unflatten,
)


def _state(seed: int) -> tuple[dict, dict]:
    draw = torch.Generator().manual_seed(seed)
    tensors: dict = {}
    nested = {
        "weights": torch.randn(3, 5, generator=draw),
        "optimiser": {0: {"step": 4, "moment": torch.randn(2, generator=draw).double()}},
        "half": torch.randn(7, generator=draw).bfloat16(),
        "scalar": torch.tensor(2.5),
        "list": [1, 0.1, "x", None],
    }
    return tensors, {"step": seed, "parts": flatten("", nested, tensors)}


def _same(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    return a == b


def test_round_trip_is_exact(tmp_path):
    store = CheckpointStore(tmp_path)
    assert store.is_empty
    tensors, state = _state(11)
    store.write(11, tensors, state)
    assert not store.is_empty
    read, read_state, notes = store.read_newest()
    assert notes == []
    assert _same(unflatten(read_state["parts"], read), unflatten(state["parts"], tensors))
    assert 0 in unflatten(read_state["parts"], read)["optimiser"]


def test_a_changed_state_is_told_and_one_of_an_earlier_version_is_read(tmp_path):
    store = CheckpointStore(tmp_path)
    path = store.write(11, *_state(11))
    content = path.read_bytes()
    path.write_bytes(content.replace(b'\\"step\\": 11', b'\\"step\\": 12'))
    assert path.read_bytes() != content
    with pytest.raises(CheckpointError, match="its state does not match"):
        read_checkpoint(path)
    tensors, state = _state(11)
    digest = _digest(tensors)
    save_file(tensors, path, {"state": json.dumps({**state, "digest": digest})})
    assert read_checkpoint(path)[1] == state


def test_the_newest_two_are_kept_and_a_stop_until_the_next(tmp_path):
    store = CheckpointStore(tmp_path)
    for step in (1, 2, 3):
        store.write(step, *_state(step))
    store.write(4, *_state(4), stopping=True)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == [
        "step-000000002.safetensors",
        "step-000000003.safetensors",
        "stop-000000004.safetensors",
    ]
    assert store.read_newest()[1]["step"] == 4
    assert store.read_newest(scheduled_only=True)[1]["step"] == 3
    store.write(5, *_state(5))
    assert not list(tmp_path.glob("stop-*"))


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "text"])
def test_a_damaged_checkpoint_is_told_and_the_one_before_is_used(tmp_path, damage):
    store = CheckpointStore(tmp_path)
    store.write(1, *_state(1))
    path = store.write(2, *_state(2))
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[-3] ^= 4
    changed = {"cut": content[:-9], "empty": b"", "text": b"not a checkpoint"}
    path.write_bytes(bytes(changed.get(damage, content)))
    with pytest.raises(CheckpointError, match=r"damaged|not a whole checkpoint"):
        read_checkpoint(path)
    _, state, notes = store.read_newest()
    assert state["step"] == 1
    assert len(notes) == 1
    assert "step-000000002" in notes[0]


def test_no_whole_checkpoint_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        CheckpointStore(tmp_path / "none").read_newest()


def test_a_full_disk_is_told_and_the_last_good_one_stays(tmp_path, monkeypatch):
    store = CheckpointStore(tmp_path)
    store.write(1, *_state(1))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable.os, "fsync", full)
    with pytest.raises(StorageError, match=r"step-000000002.* disk is full.*before is safe"):
        store.write(2, *_state(2))
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["step-000000001.safetensors"]
    assert store.read_newest()[1]["step"] == 1
