"""Files are whole or absent, also when writing fails or the process dies."""

import errno
import os
import platform
import signal
import subprocess
import sys
import time

import pytest

from striate import durable, locks
from striate.errors import RunError, StorageError


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
        "import sys, time; from pathlib import Path; from striate import locks\n"
        "with locks.lock(Path(sys.argv[1]), wait=True, taken=''):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        taken = pytest.raises(RunError, match="somebody has it")
        with taken, locks.lock(path, wait=False, taken="somebody has it"):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with locks.lock(path, wait=False, taken="somebody has it"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE")
def test_an_append_that_is_cut_short_leaves_the_file_as_it_was(tmp_path):
    from full_disk import files_no_longer_than

    path = tmp_path / "lines"
    durable.append_line(path, "first")
    with files_no_longer_than(20), pytest.raises(OSError, match="larger than a file may be"):
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
    with pytest.raises(OSError, match="input/output"):
        durable.append_line(path, "second")
    assert path.read_bytes() == b"first\n"


def test_a_line_that_a_kill_cut_short_stays_a_line_of_its_own(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"first\nsec")
    durable.append_line(path, "third")
    assert path.read_bytes() == b"first\nsec\nthird\n"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full. What was saved before is safe. Make room"),
        (errno.EDQUOT, "your quota on this disk is used up."),
        (errno.EFBIG, "it would be larger than a file may be here."),
        (errno.EROFS, "the disk is read-only."),
        (errno.EIO, "the disk reports an input/output error."),
        (errno.ENOTCONN, "Transport endpoint is not connected."),
    ],
)
def test_what_the_system_refuses_is_a_sentence(tmp_path, monkeypatch, number, words):
    path = tmp_path / "file"
    durable.write_bytes(path, b"old")

    def refuse(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    for write in (durable.write_bytes, lambda path, line: durable.append_line(path, str(line))):
        with pytest.raises(StorageError) as caught:
            write(path, b"new")
        assert str(caught.value).startswith(f"{path} could not be written: {words}")
        assert str(caught.value).endswith(", then repeat this.")
        assert caught.value.errno == number
    monkeypatch.undo()
    assert path.read_bytes().startswith(b"old")


def test_an_explained_error_takes_over_what_to_type(tmp_path):
    with (
        pytest.raises(StorageError, match=r"Check the path, then continue with: x\.$"),
        durable.explaining(then="continue with: x"),
        durable.explaining(tmp_path / "other"),
    ):
        os.stat(tmp_path / "missing")
    with pytest.raises(BrokenPipeError), durable.explaining(tmp_path):
        raise BrokenPipeError(errno.EPIPE, "")
    with pytest.raises(FileNotFoundError):
        durable.read_bytes(tmp_path / "missing")
    with pytest.raises(StorageError, match=r"could not be read: it is a folder, no file"):
        durable.read_bytes(tmp_path)


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path):
    for letter in ("x", "写"):
        path = tmp_path / (letter * (250 // len(letter.encode())))
        durable.write_bytes(path, b"whole")
        assert path.read_bytes() == b"whole"
    with pytest.raises(StorageError, match="the name is longer than the system allows"):
        durable.write_bytes(tmp_path / ("x" * 256), b"")


def test_paths_that_cannot_be_written_are_refused_before_any_work(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"old")
    durable.require_writable(file)
    durable.require_writable(tmp_path / "new" / "file")
    durable.require_writable(tmp_path / "new" / "folder", folder=True)
    for path, folder in ((file, True), (file / "x", True), (file / "x", False), (tmp_path, False)):
        with pytest.raises(StorageError, match=r"could not be written: .* Choose another path, t"):
            durable.require_writable(path, folder=folder)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert file.read_bytes() == b"old"


@pytest.mark.parametrize("start", ["write", "lock"])
def test_leftovers_of_killed_writers_go_at_the_next_start(tmp_path, start):
    code = (
        "import os, signal, sys; from pathlib import Path; from striate import durable\n"
        "def die(stream): os.kill(os.getpid(), signal.SIGKILL)\n"
        "durable.write_with(Path(sys.argv[1]), die)"
    )
    path = tmp_path / "file"
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.endswith(".partial")
    running = tmp_path / f".file.{platform.node()}.{os.getppid()}.partial"
    elsewhere, old = tmp_path / ".file.elsewhere.7.partial", tmp_path / ".other.7.partial"
    for other in (running, elsewhere, old):
        other.write_bytes(b"")
    os.utime(old, (0, 0))
    if start == "write":
        durable.write_bytes(path, b"whole")
    else:
        with locks.lock(path, wait=True, taken=""):
            pass
    assert {p.name for p in tmp_path.iterdir()} == {"file", running.name, elsewhere.name}
