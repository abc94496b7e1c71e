"""Files are whole or absent, also when writing fails or the process dies."""

import os
import signal
import subprocess
import sys
import time

import pytest

from striate import durable
from striate.errors import RunError


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    durable.write_bytes(path, b"old")

    def fail(stream):
        stream.write(b"half of the ne")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        durable.write_with(path, fail)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_json_refuses_numbers_that_json_has_not(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        durable.write_json(tmp_path / "file", {"loss": float("nan")})
    assert not (tmp_path / "file").exists()


def test_readers_never_see_half_a_file_of_a_killed_writer(tmp_path):
    path = tmp_path / "file"
    code = (
        "import sys; from pathlib import Path; from striate import durable\n"
        "for i in range(10**9): durable.write_bytes(Path(sys.argv[1]), bytes([i % 256]) * 300_000)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)])
    try:
        deadline = time.monotonic() + 20
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        for _ in range(50):
            content = path.read_bytes()
            assert len(content) == 300_000
            assert len(set(content)) == 1
    finally:
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
    content = path.read_bytes()
    assert len(content) == 300_000
    assert len(set(content)) == 1


def test_a_lock_is_exclusive_and_dies_with_its_process(tmp_path):
    path = tmp_path / "lock"
    code = (
        "import sys, time; from pathlib import Path; from striate import durable\n"
        "with durable.lock(Path(sys.argv[1]), wait=True, taken=''):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        taken = pytest.raises(RunError, match="somebody has it")
        with taken, durable.lock(path, wait=False, taken="somebody has it"):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with durable.lock(path, wait=False, taken="somebody has it"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE")
def test_an_append_that_is_cut_short_leaves_the_file_as_it_was(tmp_path):
    from full_disk import files_no_longer_than

    path = tmp_path / "lines"
    durable.append_line(path, "first")
    with files_no_longer_than(20), pytest.raises(OSError, match="too large"):
        durable.append_line(path, "a second line that does not fit")
    assert path.read_bytes() == b"first\n"
    durable.append_line(path, "second")
    assert path.read_bytes() == b"first\nsecond\n"


def test_an_append_that_does_not_reach_the_disk_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "lines"
    durable.append_line(path, "first")

    def fail(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        durable.append_line(path, "second")
    assert path.read_bytes() == b"first\n"


def test_a_line_that_a_kill_cut_short_stays_a_line_of_its_own(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"first\nsec")
    durable.append_line(path, "third")
    assert path.read_bytes() == b"first\nsec\nthird\n"
