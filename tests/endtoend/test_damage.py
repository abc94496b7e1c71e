"""Files of a run and of the cache that were damaged after they were written.

Each is named before a test split is opened, with what to do about it, and that does it.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

from striate import api
from striate.api.calibration import calibrate
from striate.api.compare import compare_runs
from striate.api.ledger import ledger
from striate.data import cache
from striate.data.seal import SealedSplit
from striate.errors import DataError, RunError
from striate.terminal import Reporter
from striate.training.events import read_events

QUICK = ("network.widths=[8,8]", "training.batch_size=16", "execution.threads=1")
REMEDIES = {
    "network.safetensors": "striate resume",
    "validation.safetensors": "striate resume",
    "calibration.json": "striate calibrate",
    "report.json": "striate resume",
}


@pytest.fixture(scope="module")
def trained(shared_photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, which no test changes."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("STRIATE_CACHE", str(folder / "cache"))
        patched.setenv("STRIATE_HOME", str(folder / "home"))
        api.train(shared_photographs, steps=30, out=folder / "run", assignments=QUICK)
    return folder / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> api.Run:
    return api.load(shutil.copytree(trained, tmp_path / "run"))


class Listener(Reporter):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def say(self, text: str) -> None:
        self.texts.append(text)


def flip(path: Path, at: float = 0.5) -> None:
    """Change one bit of a file, at a share of its length."""
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", [*REMEDIES, "report.html", "events.jsonl"])
def test_a_flipped_bit_is_noticed_wherever_it_is(run: api.Run, name: str) -> None:
    path = run.path / name
    content = path.read_bytes()
    assert run.folder.problems == []
    for at in np.random.default_rng(3).uniform(size=20):
        flip(path, at)
        (problem,) = run.folder.problems
        assert f"{path} was damaged" in problem
        path.write_bytes(content)
    assert run.folder.problems == []


@pytest.mark.parametrize(("name", "remedy"), list(REMEDIES.items())[:3])
@pytest.mark.parametrize("harm", ["flipped", "gone"])
def test_a_damaged_file_is_named_before_the_test_split_is_opened(
    run: api.Run, name: str, remedy: str, harm: str
) -> None:
    path = run.path / name
    path.unlink() if harm == "gone" else flip(path)
    with pytest.raises(RunError, match=f"{path.name}.*{remedy} {run.path}"):
        run.evaluate()
    assert api.load(run.path).test_openings == 0


def test_damaged_weights_and_a_damaged_calibration_predict_nothing(run: api.Run) -> None:
    image = np.zeros((12, 12, 3), np.uint8)
    flip(run.folder.calibration)
    with pytest.raises(RunError, match="striate calibrate"):
        run.predict([image])
    calibrate(run)
    run.predict([image])
    flip(run.folder.weights, 0.999)
    with pytest.raises(RunError, match="striate resume"):
        api.load(run.path).predict([image])


@pytest.mark.parametrize("name", REMEDIES)
@pytest.mark.parametrize("harm", ["flipped", "gone"])
def test_a_resume_makes_a_damaged_file_again(
    trained: Path, run: api.Run, name: str, harm: str
) -> None:
    path = run.path / name
    path.unlink() if harm == "gone" else flip(path)
    listener = Listener()
    api.resume(run.path, reporter=listener)
    assert name in listener.texts[0]
    assert run.folder.problems == []
    for kept in list(REMEDIES)[:3]:
        assert (run.path / kept).read_bytes() == (trained / kept).read_bytes()
    again = Listener()
    api.resume(run.path, reporter=again)
    assert again.texts == [f"{run.path} has finished already."]


def test_a_repair_keeps_the_other_files(run: api.Run) -> None:
    run.evaluate()
    calibrate(run, classwise=True)
    kept = [run.folder.calibration, run.folder.report, run.folder.test_predictions]
    before = [path.read_bytes() for path in kept]
    flip(run.folder.weights)
    api.resume(run.path)
    assert [path.read_bytes() for path in kept] == before


def test_damaged_test_predictions_are_not_compared(run: api.Run, tmp_path: Path) -> None:
    other = api.load(shutil.copytree(run.path, tmp_path / "other"))
    run.evaluate()
    other.evaluate()
    flip(run.folder.test_predictions)
    with pytest.raises(RunError, match=r"test.safetensors was damaged.*striate evaluate"):
        compare_runs([run, other])


@pytest.mark.parametrize("harm", ["flipped", "gone"])
def test_a_damaged_log_costs_the_curves_alone(run: api.Run, harm: str) -> None:
    run.folder.events.unlink() if harm == "gone" else flip(run.folder.events)
    listener = Listener()
    evaluation = run.evaluate(reporter=listener)
    assert evaluation.opening == 1
    assert "The report has no curves" in listener.texts[0]
    assert "The report has no curves" in evaluation.report.read_text("utf-8")


def test_a_log_of_other_values_costs_the_curves_alone(run: api.Run) -> None:
    (run.path / "digests.jsonl").unlink()
    run.folder.events.write_text('{"event": "step"}\n{"event": "finished"}\n')
    assert read_events(run.folder.events)
    assert "The report has no curves" in run.evaluate().report.read_text("utf-8")


def test_one_byte_of_the_cached_test_images_is_told_before_they_are_opened(run: api.Run) -> None:
    run.evaluate()
    flip(next(cache.images_dir().glob("*/test/pixels.u8")))
    with pytest.raises(DataError, match=r"pixels.u8 are missing or were altered.*cache clear"):
        run.evaluate()
    assert run.test_openings == 1


def test_an_opening_that_failed_showed_nothing_and_widens_nothing(
    run: api.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DataError("a disk that fails")

    with monkeypatch.context() as patched:
        patched.setattr(SealedSplit, "read", fail)
        with pytest.raises(DataError, match="a disk that fails"):
            run.evaluate()
    assert not run.folder.test_predictions.exists()
    evaluation = run.evaluate()
    assert evaluation.opening == 2
    assert evaluation.reading is not None
    assert evaluation.reading.openings == 1
    page = evaluation.report.read_text("utf-8")
    assert "nothing shown" in page
    assert "No training step and no choice saw them" in page
    assert "whoever picks the best" not in page
    seen = ledger(run.path)
    assert "opened 2 times, 1 of which showed nothing" in seen.lines()[0]
    assert seen.findings == ()


def test_a_folder_for_the_figures_is_refused_before_the_opening(striate, run: api.Run) -> None:
    done = striate("evaluate", run.path, "--json", run.path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{run.path} could not be written: it is a folder" in done.stderr.replace("\n", "")
    assert run.test_openings == 0


def test_a_run_of_an_earlier_version_is_read_with_a_note(run: api.Run) -> None:
    assert run.notes == ()
    (run.path / "digests.jsonl").unlink()
    listener = Listener()
    run.evaluate(reporter=listener)
    assert "kept no digests of network.safetensors, validation" in listener.texts[0]
