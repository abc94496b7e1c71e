"""Processes killed for real: what goes on afterwards ends on the same bits."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from killed import SETTINGS, assert_same, finish, outcome, start, train
from striate.run_folder import RunFolder


def write_photographs(folder: Path) -> Path:
    """Two classes of small colour images with noise."""
    draw = np.random.default_rng(7)
    rows = np.mgrid[0:12, 0:12][0] / 12
    for name, pattern in {"stripes": np.sin(20 * rows), "hill": rows * rows.T}.items():
        (folder / name).mkdir(parents=True)
        for number in range(40):
            noise = draw.normal(0, 20, (12, 12, 3))
            pixels = 128 + pattern[..., None] * draw.uniform(40, 120, 3) + noise
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(folder / name / f"{number:03d}.png")
    return folder


def end_of(data: Path, run: Path, places: Path) -> None:
    """Go on until the run has ended: resume where there is a run, train where there is none."""
    if (run / "run.json").exists():
        finish(start("resume", run, places=places))
    else:
        finish(train(data, run, places))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("data") / "photographs")


@pytest.fixture(scope="module")
def reference(photographs, tmp_path_factory):
    """What an uninterrupted run ends with, and the seconds it takes."""
    folder = tmp_path_factory.mktemp("reference")
    began = time.monotonic()
    finish(train(photographs, folder / "whole", folder / "places"))
    return outcome(folder / "whole"), time.monotonic() - began


def kill_and_go_on(tmp_path: Path, data: Path, reference, moments: list[float]) -> None:
    whole, _ = reference
    for number, moment in enumerate(moments):
        # Places of its own, so that the killed process also builds the cache.
        places, run = tmp_path / f"places{number}", tmp_path / f"run{number}"
        process = train(data, run, places)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        end_of(data, run, places)
        assert_same(run, whole)


def test_killed_while_training(tmp_path, photographs, reference):
    whole, _ = reference
    run, places = tmp_path / "run", tmp_path / "other"
    process = train(photographs, run, places)
    deadline = time.monotonic() + 60
    while len(list((run / "checkpoints").glob("step-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (run / "network.safetensors").exists()
    end_of(photographs, run, places)
    assert_same(run, whole)


@pytest.mark.slow
def test_killed_at_twenty_random_moments(tmp_path, photographs, reference):
    draw = random.Random(20)
    moments = [draw.uniform(0.1, 1.02) * reference[1] for _ in range(20)]
    kill_and_go_on(tmp_path, photographs, reference, moments)


def write_numbers(folder: Path) -> Path:
    """A list of the photographs with two numbers each, some of them missing."""
    lines = ["path,contrast,number"]
    for number, path in enumerate(sorted(write_photographs(folder).rglob("*.png"))):
        contrast = "" if number % 9 == 4 else np.asarray(Image.open(path)).std()
        lines.append(f"{path.relative_to(folder)},{contrast},{'' if number % 5 == 2 else number}")
    (folder / "numbers.csv").write_text("\n".join(lines))
    return folder / "numbers.csv"


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_numbers])
def test_other_tasks_killed_at_ten_random_moments(tmp_path, write):
    data = write(tmp_path / "data")
    began = time.monotonic()
    finish(train(data, tmp_path / "whole", tmp_path / "places"))
    duration = time.monotonic() - began
    draw = random.Random(10)
    moments = [draw.uniform(0.1, 1.02) * duration for _ in range(10)]
    kill_and_go_on(tmp_path, data, (outcome(tmp_path / "whole"), duration), moments)


@pytest.mark.slow
def test_killed_again_and_again_in_one_run(tmp_path, photographs, reference):
    run, places = tmp_path / "run", tmp_path / "other"
    draw = random.Random(3)
    process = train(photographs, run, places)
    for _ in range(6):
        deadline = time.monotonic() + 60
        before = max((run / "checkpoints").glob("step-*"), default=None)
        while time.monotonic() < deadline and process.poll() is None:
            if max((run / "checkpoints").glob("step-*"), default=None) != before:
                break
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        process = start("resume", run, places=places)
    finish(process)
    assert_same(run, reference[0])


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_signal_saves_and_stops(tmp_path, photographs, reference, number):
    run, places = tmp_path / "run", tmp_path / "other"
    process = train(photographs, run, places)
    deadline = time.monotonic() + 60
    while not list((run / "checkpoints").glob("step-*1.*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(number)
    said = finish(process, code=128 + number)
    assert "everything is saved" in said
    assert f"striate resume {run}" in said.replace("\n", " ")
    assert list((run / "checkpoints").glob("stop-*"))
    finish(start("resume", run, places=places))
    assert_same(run, reference[0])


@pytest.mark.slow
def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path, photographs, reference):
    run, places = tmp_path / "run", tmp_path / "other"
    process = train(photographs, run, places)
    deadline = time.monotonic() + 60
    while not list((run / "checkpoints").glob("step-*3.*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    finish(process, code=143)
    good = max((run / "checkpoints").glob("stop-*"))
    size = good.stat().st_size
    # No file may grow beyond half a checkpoint: the write fails as on a full disk.
    code = (
        f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({size // 2},) * 2);"
        "sys.argv = ['striate', 'resume', sys.argv[1]]; from striate.cli import main; main()"
    )
    limited = subprocess.run(
        [sys.executable, "-c", code, str(run)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "STRIATE_CACHE": str(places / "cache")},
    )
    assert limited.returncode == 2
    assert "it would be larger than a file may be here" in limited.stderr
    assert f"continue with: striate resume {run}." in limited.stderr
    assert "Traceback" not in limited.stderr
    assert good.exists()
    assert not list((run / "checkpoints").glob(".*.partial"))
    finish(start("resume", run, places=places))
    assert_same(run, reference[0])


@pytest.mark.slow
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, photographs, reference):
    run, places = tmp_path / "run", tmp_path / "other"
    process = train(photographs, run, places)
    deadline = time.monotonic() + 60
    while not list((run / "checkpoints").glob("step-*5.*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    newest = max((run / "checkpoints").glob("step-*"))
    content = bytearray(newest.read_bytes())
    content[-100] ^= 1
    newest.write_bytes(bytes(content))
    said = finish(start("resume", run, places=places))
    assert "damaged" in said
    weights, _, _ = outcome(run)
    assert all(weights[name].equal(reference[0][0][name]) for name in weights)


@pytest.mark.slow
def test_two_processes_cannot_train_in_one_folder(tmp_path, photographs):
    run, places = tmp_path / "run", tmp_path / "other"
    first = start("train", photographs, "--out", run, *SETTINGS, "--steps", 100_000, places=places)
    try:
        deadline = time.monotonic() + 60
        while not list((run / "checkpoints").glob("step-*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        said = finish(start("resume", run, places=places), code=2)
        assert "being trained by another process" in said
    finally:
        first.kill()
        first.communicate()


def test_a_refused_process_leaves_the_lock_of_the_first(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with folder.claimed():
        code = (
            "import sys; from pathlib import Path; from striate.run_folder import RunFolder\n"
            "from striate.errors import RunError\n"
            "try:\n    with RunFolder(Path(sys.argv[1])).claimed(): print('taken')\n"
            "except RunError as error: print(error)"
        )
        for _ in range(2):  # the second finds the folder as the first left it
            said = subprocess.run(
                [sys.executable, "-c", code, str(folder.path)],
                capture_output=True,
                text=True,
                check=True,
            )
            assert "being trained by another process" in said.stdout
            assert folder.path.is_dir()
    assert not folder.path.exists(), "nothing came of it"


@pytest.mark.slow
def test_killed_between_the_record_and_the_first_checkpoint(tmp_path, photographs, reference):
    run, places = tmp_path / "run", tmp_path / "other"
    process = train(photographs, run, places)
    deadline = time.monotonic() + 60
    while not (run / "run.json").exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for path in (run / "checkpoints").glob("*"):
        path.unlink()
    finish(start("resume", run, places=places))
    assert_same(run, reference[0])


def test_the_log_begins_and_ends(reference):
    kinds = [event["event"] for event in reference[0][1]]
    assert kinds[0] == "start"
    assert kinds[-1] == "finished"
    assert kinds.count("validation") == 10
