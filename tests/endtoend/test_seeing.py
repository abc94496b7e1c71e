"""A gallery as a person makes it: of a run, of images of their own, and what is refused."""

import hashlib
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate import api
from striate.api.explanation import why
from striate.api.run import Run, data_of
from striate.api.seeing import see
from striate.data import Dataset
from striate.errors import ConfigError, DataError, RunError
from striate.terminal import Reporter
from striate.training.events import read_events

QUICK = ("network.depth=8", "network.width=8", "training.batch_size=16", "execution.threads=1")


@pytest.fixture(scope="module")
def run(shared_photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seen")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("STRIATE_CACHE", str(folder / "cache"))
        patched.setenv("STRIATE_HOME", str(folder / "home"))
        options = {"network": "resnet", "assignments": QUICK}
        api.train(shared_photographs, steps=40, out=folder / "run", **options)
    return folder / "run"


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_gallery_of_a_run_needs_nothing_else(
    run: Path, striate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STRIATE_HOME", str(tmp_path / "home"))
    before = digests(run)
    out = tmp_path / "seen"
    ended = striate("see", run, "attribution", "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert f"Gallery: {out / 'gallery.html'}" in ended.stdout
    assert digests(run) == before
    page = (out / "gallery.html").read_text()
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src 'none'" in page
    (panel,) = json.loads((out / "gallery.json").read_text())
    assert len(panel["notes"]) == 5
    assert all("With random weights" in note for note in panel["notes"])
    pictures = sorted(out.glob("*.png"))
    assert (
        len(pictures)
        == len(panel["pictures"])
        == 6 * len([caption for caption in panel["pictures"] if "Explained:" in caption])
    )
    with np.load(out / "attribution.npz") as arrays:
        assert set(arrays) == {"gradient", "guided", "grad_cam", "integrated", "occlusion"}
        assert arrays["gradient"].shape[1:] == (12, 12)
    with Image.open(pictures[1]) as picture:
        assert picture.size == (12, 12)
    again = striate("see", run, "attribution", "--out", out)
    assert again.returncode == 2
    assert "exists already; give a new folder" in again.stderr


def test_a_class_and_images_of_ones_own(
    run: Path, shared_photographs: Path, tmp_path: Path
) -> None:
    image = next(shared_photographs.rglob("*.png"))
    page = see(run, ["attribution"], images=image, label="hill", out=tmp_path / "one")
    (panel,) = json.loads((page.parent / "gallery.json").read_text())
    assert len(panel["pictures"]) == 6
    assert panel["pictures"][0].endswith("Explained: hill")
    page = see(run, ["attribution"], images=image, layer="stem.0", unit=1, out=tmp_path / "two")
    assert "stem.0, unit 1" in page.read_text()


def test_a_kind_of_map_that_a_network_lacks_is_left_out_and_said(
    shared_photographs: Path, tmp_path: Path
) -> None:
    """The planner's network has GELU."""
    words = ("network.widths=[8,8]", "execution.threads=1")
    run = api.train(shared_photographs, steps=2, out=tmp_path / "run", assignments=words)
    page = see(run, ["attribution"])
    assert page == tmp_path / "run" / "seen" / "gallery.html"
    assert "without a rectifier (ReLU) in the network it is the gradient" in page.read_text()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"parts": ["atribution"]}, ConfigError, "no part named 'atribution'.*attribution"),
        ({"label": "hil"}, ConfigError, "no class named 'hil'.*hill"),
        ({"label": "99"}, ConfigError, "no class named '99'"),
        ({"layer": "stems"}, ConfigError, "no layer named 'stems'"),
        ({"unit": 500}, ConfigError, "no channel 500"),
        ({"images": "absent.png"}, DataError, "absent.png"),
        ({"pretrained": "resnet20"}, ConfigError, "one of them"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(
    run: Path, tmp_path: Path, options: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        see(run, out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_what_can_be_refused_at_once_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one of them"):
        see()
    with pytest.raises(ConfigError, match="bring no images"):
        see(pretrained="resnet20")
    with pytest.raises(RunError):
        see(tmp_path)


def test_why_an_image_is_predicted_so(
    run: Path, shared_photographs: Path, striate, tmp_path: Path
) -> None:
    image = next(shared_photographs.rglob("*.png"))
    file, out = tmp_path / "why.json", tmp_path / "why"
    ended = striate("why", run, image, "--json", file, "--out", out)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(file.read_text())
    predicted = api.load(run).predict(image)[0]
    assert found["label"] == predicted.label
    assert found["confidence"] == pytest.approx(predicted.confidence)
    assert predicted.label in found["explained"]
    assert len(found["neighbours"]) == 6
    first = found["neighbours"][0]
    train = set(dataset(run).train.names)
    assert first["name"] in train
    if image.name in {Path(name).name for name in train}:
        assert first["similarity"] > 0.999  # it is itself
    assert 0 < found["p_value"] <= 1
    assert "Evidence: " in ended.stdout
    with np.load(out / "evidence.npz") as arrays:
        assert len(arrays) == 4
    assert len(list(out.glob("neighbours-*.png"))) == 6
    again = striate("why", run, image)
    assert "were computed in" not in again.stdout  # the features were kept
    assert f"{run / 'why'}" in again.stdout


def dataset(run: Path) -> Dataset:
    opened = Run(run)
    return data_of(opened.config, None, opened.path, Reporter(), opened.fields)


def test_an_index_of_other_weights_is_made_again(
    run: Path, shared_photographs: Path, tmp_path: Path
) -> None:
    image = next(shared_photographs.rglob("*.png"))
    copied = Path(shutil.copytree(run, tmp_path / "run"))
    why(copied, image)
    index = copied / "index.safetensors"
    content = bytearray(index.read_bytes())
    content[-3] ^= 1
    index.write_bytes(bytes(content))
    said: list[str] = []
    reporter = Reporter()
    reporter.say = said.append  # type: ignore[method-assign]
    found = why(copied, image, reporter=reporter)
    assert any("It is made again." in text for text in said)
    assert found.neighbours == why(copied, image).neighbours


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--class", "hil"], "no class named 'hil'"),
        (["--at", "3"], "write row and column"),
        (["--at", "3,4"], "A position is for predictions of maps"),
    ],
)
def test_what_cannot_be_explained_is_said(
    run: Path, shared_photographs: Path, striate, words: list[str], message: str
) -> None:
    ended = striate("why", run, next(shared_photographs.rglob("*.png")), *words)
    assert ended.returncode == 2
    assert message in ended.stderr


def test_one_image_is_explained_at_a_time(
    run: Path, shared_photographs: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="one is explained at a time"):
        why(run, shared_photographs)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken\.png"):
        why(run, broken)


def test_a_watched_training_ends_on_the_same_bits_and_is_drawn(
    shared_photographs: Path, tmp_path: Path
) -> None:
    runs = []
    for watched in ("false", "true"):
        words = (*QUICK, f"training.flow={watched}", "training.validations=3")
        options = {"network": "resnet", "assignments": words, "steps": 24, "seed": 3}
        runs.append(api.train(shared_photographs, out=tmp_path / watched, **options))
    first, second = (run.folder.read_tensors(run.folder.weights) for run in runs)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    events = [e for e in read_events(runs[1].folder.events) if e["event"] == "flow"]
    assert [event["step"] for event in events] == [0, 8, 16, 24]
    assert len(events[0]["rows"]) == len(events[-1]["rows"]) > 5
    counts = events[0]["weights"]["stem.0.weight"]
    assert sum(counts) == first["stem.0.weight"].numel()
    page = see(runs[1], ["flow", "weights"], out=tmp_path / "seen")
    with np.load(page.parent / "flow.npz") as arrays:
        assert arrays["steps"].tolist() == [0, 8, 16, 24]
        assert arrays["output_gradient"].shape[1] == 4
    assert len(list(page.parent.glob("weights-*.png"))) == len(events[0]["weights"])
    page = see(runs[0], ["flow", "weights"], out=tmp_path / "unwatched")
    assert "training.flow=true" in page.read_text()


def test_a_watched_training_that_was_stopped_writes_what_an_unbroken_one_does(
    shared_photographs: Path, tmp_path: Path
) -> None:
    class Stopping(Reporter):
        def event(self, event: dict) -> None:
            if event["event"] == "step" and event["step"] == 11:
                os.kill(os.getpid(), signal.SIGTERM)

    words = (*QUICK, "training.flow=true", "training.validations=3")
    options = {"network": "resnet", "assignments": words, "steps": 24, "seed": 3}
    api.train(shared_photographs, out=tmp_path / "whole", **options)
    stopped = api.train(shared_photographs, out=tmp_path / "cut", reporter=Stopping(), **options)
    assert not stopped.is_finished
    api.resume(tmp_path / "cut")
    whole, cut = (
        [e for e in read_events(tmp_path / name / "events.jsonl") if e["event"] == "flow"]
        for name in ("whole", "cut")
    )
    assert [event["step"] for event in whole] == [0, 8, 16, 24]
    assert whole == cut


def test_a_perceptron_on_points_has_regions_and_no_maps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STRIATE_HOME", str(tmp_path / "home"))
    words = ("training.flow=true", "training.validations=4")
    run = api.train("ring", out=tmp_path / "run", epochs=20, assignments=words)
    assert run.config.data.input_size == (1, 2)
    page = see(run, ["boundary", "maps", "patches", "attribution", "landscape"])
    with np.load(page.parent / "boundary.npz") as arrays:
        regions = arrays["scores"].argmax(2)
    middle, between, corner = regions[60, 60], regions[60, 60 + 30], regions[2, 2]
    assert middle == corner != between  # the ring lies between 1 and 2
    with Image.open(page.parent / "boundary.gif") as moving:
        assert moving.n_frames == len(run.folder.snapshots()) == 5
    text = page.read_text()
    assert "The moving picture shows the steps 0, " in text
    assert "No layer has positions" in text
    assert "Dots are the" in text
    assert "The mean loss on" in text
