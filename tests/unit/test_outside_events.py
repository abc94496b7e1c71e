"""Memory that runs out, signals, clocks that jump, and records of other versions."""

import hashlib
import json
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from striate import cli
from striate.api.training import _resumable
from striate.errors import RunError
from striate.run_folder import RunFolder
from striate.terminal import Reporter
from striate.training.budget import Clock
from striate.training.interrupt import interruptible

FIXTURE = Path(__file__).parents[1] / "fixtures" / "run_417ab7b" / "lenet5"


def ends(monkeypatch, capsys, error: Exception) -> tuple[Any, str]:
    """Exit code and standard error of a command in which an error is raised."""

    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("std::bad_alloc"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ],
)
def test_a_lack_of_memory_is_a_sentence(monkeypatch, capsys, error):
    code, words = ends(monkeypatch, capsys, error)
    assert code == 2
    assert words.startswith("Error Memory ran out.")
    assert "training.batch_size" in words


def test_other_faults_of_the_program_are_not_called_a_lack_of_memory(monkeypatch):
    def fail() -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(RuntimeError, match="shapes differ"):
        cli.main()


def test_a_lack_of_memory_in_a_training_names_the_command_that_continues(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(MemoryError) as caught, _resumable(RunFolder(tmp_path), Reporter()):
        raise MemoryError
    code, words = ends(monkeypatch, capsys, caught.value)
    assert code == 2
    assert f"Continue with: striate resume {tmp_path}" in words


def test_a_second_interrupt_names_the_command_that_continues(tmp_path):
    said: list[str] = []
    reporter = Reporter()
    reporter.say = said.append  # type: ignore[method-assign]
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(KeyboardInterrupt), _resumable(RunFolder(tmp_path), reporter):
        raise KeyboardInterrupt
    assert len(said) == 1
    assert f"Continue with: striate resume {tmp_path}" in said[0]


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_a_closed_terminal_asks_for_a_stop_and_nohup_stays_as_it_is():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with interruptible() as interrupt:
            signal.raise_signal(signal.SIGHUP)
            assert interrupt.name == "SIGHUP"
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with interruptible() as interrupt:
            signal.raise_signal(signal.SIGHUP)
            assert not interrupt.wanted
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("jump", [-1e9, 1e9])
def test_a_jump_of_the_wall_clock_does_not_move_the_time_of_a_run(monkeypatch, jump):
    clock = Clock(started=time.monotonic())
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + jump)
    assert 0 <= clock.seconds() < 1e6


def record_with(folder: Path, **changes: Any) -> RunFolder:
    """A run whose record was written with other fields, its digest right; None: left out."""
    run = Path(shutil.copytree(FIXTURE, folder / "run"))
    record = json.loads((run / "run.json").read_text("utf-8"))
    del record["digest"]
    record = {name: v for name, v in {**record, **changes}.items() if v is not None}
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"))
    record["digest"] = hashlib.sha256(canonical.encode()).hexdigest()
    (run / "run.json").write_text(json.dumps(record), "utf-8")
    return RunFolder(run)


def test_a_record_of_a_later_version_is_refused_with_both_formats(tmp_path):
    with pytest.raises(RunError, match=r"has format 2, .* reads formats up to 1\. Update"):
        record_with(tmp_path, format=2).record()


@pytest.mark.parametrize("name", ["created", "config", "hardware", "normalisation", "data"])
def test_a_record_that_lacks_a_field_is_refused_where_it_is_read(tmp_path, name):
    with pytest.raises(RunError, match=f"'{name}' is missing.* another version"):
        record_with(tmp_path, **{name: None}).record()


def test_a_setting_of_another_version_is_refused_where_the_record_is_read(tmp_path):
    config = json.loads((FIXTURE / "run.json").read_text("utf-8"))["config"]
    with pytest.raises(RunError, match=r"no setting 'config\.extra'.* another version"):
        record_with(tmp_path, config={**config, "extra": 1}).record()


def test_a_field_that_this_version_does_not_know_is_passed_over(tmp_path):
    assert record_with(tmp_path, extra=1).record()["extra"] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no such lock")
def test_a_run_in_training_is_not_said_to_be_resumable(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    with folder.locked(), pytest.raises(RunError, match="yet: another process is training it"):
        folder.require(folder.weights)
    with pytest.raises(RunError, match=r"has not ended\. Continue with: striate resume"):
        folder.require(folder.weights)
