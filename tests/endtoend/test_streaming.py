"""Tar shards from the command line to the test split, decoded as they are needed."""

import io
import json
import os
import signal
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from striate import api
from striate.data import cache
from striate.terminal import Reporter

SETTINGS = (
    "network.widths=[8,8]",
    "training.batch_size=16",
    "training.checkpoints=8",
    "execution.threads=1",
)


class StopAt(Reporter):
    """Sends the signal that a person or a queue sends, after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def event(self, event: dict[str, Any]) -> None:
        if event["event"] == "step" and event["step"] == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def shards(photographs: Path) -> Path:
    """The photographs in WebDataset's layout: train-000.tar to train-002.tar."""
    folder = photographs.with_name("shards")
    folder.mkdir()
    for number in range(3):
        with tarfile.open(folder / f"train-{number:03d}.tar", "w") as archive:
            for file in sorted(photographs.rglob("*.png"))[number::3]:
                stem = f"{file.parent.name}-{file.stem}"
                for ending, content in (
                    ("png", file.read_bytes()),
                    ("cls", file.parent.name.encode()),
                ):
                    member = tarfile.TarInfo(f"{stem}.{ending}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    return folder


def test_shards_are_trained_on_and_evaluated(striate, shards, tmp_path):
    out = tmp_path / "run"
    words = [word for setting in SETTINGS for word in ("--set", setting)]
    trained = striate(
        "train", "shards/train-{000..002}.tar", "--steps", 40, "--out", out,
        "--set", "data.streaming=true", *words, cwd=tmp_path,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    record = json.loads((out / "run.json").read_text())
    assert record["config"]["data"]["source"] == str(shards / "train-{000..002}.tar")
    assert record["config"]["data"]["streaming"] is True
    assert not list(cache.images_dir().rglob("pixels.u8"))
    evaluated = striate("evaluate", out)
    assert evaluated.returncode == 0, evaluated.stderr
    assert "opening 1 of this test split" in evaluated.stdout


@pytest.mark.slow
def test_a_resumed_training_on_shards_is_the_same(shards, tmp_path):
    asked = (*SETTINGS, "data.streaming=true")
    whole = api.train(shards, steps=24, out=tmp_path / "whole", assignments=asked)
    stopped = api.train(
        shards, steps=24, out=tmp_path / "cut", assignments=asked, reporter=StopAt(13)
    )
    assert not stopped.is_finished
    resumed = api.resume(stopped.path)
    mine, theirs = (load_file(run.folder.weights) for run in (whole, resumed))
    for key, tensor in mine.items():
        assert torch.equal(tensor, theirs[key]), key
    # The twin: another seed draws another order and other weights.
    other = api.train(shards, steps=24, out=tmp_path / "other", seed=5, assignments=asked)
    assert any(not torch.equal(t, mine[k]) for k, t in load_file(other.folder.weights).items())


def test_streaming_is_chosen_where_the_disk_has_no_room(shards, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 90 * 32 * 32 * 3})  # for the thumbnails alone
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage)
    run = api.train(shards, steps=2, out=tmp_path / "run", assignments=SETTINGS)
    assert run.config.data.streaming
    reasons = [c["why"] for c in run.record["choices"] if c["what"] == "reading"]
    assert "are free on the cache's disk" in reasons[0]
    monkeypatch.undo()
    assert api.resume(run.path).is_finished
