"""Damage to a file is noticed, whichever bit it is, and a kill between two writes is none."""

import pytest

from striate import digests, durable
from striate.errors import RunError


@pytest.mark.parametrize("bit", range(24))
def test_every_flipped_bit_is_noticed(tmp_path, bit):
    path = tmp_path / "weights"
    digests.write_bytes(path, b"abc")
    assert digests.why_damaged(path) is None
    content = bytearray(b"abc")
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"weights was damaged.*Make it again"):
        digests.require(path, "Make it again.")


def test_a_file_that_was_written_and_is_gone_is_missed(tmp_path):
    path = tmp_path / "weights"
    digests.require(path, "")
    digests.write_bytes(path, b"abc")
    path.unlink()
    with pytest.raises(RunError, match="weights is missing"):
        digests.require(path, "")


@pytest.mark.parametrize("content", [b"ab", b"abcd", b""])
def test_a_cut_or_longer_file_is_noticed(tmp_path, content):
    path = tmp_path / "weights"
    digests.write_bytes(path, b"abc")
    path.write_bytes(content)
    assert digests.why_damaged(path) is not None


def test_a_kill_before_the_file_is_there_leaves_the_earlier_one_whole(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    digests.write_bytes(path, b"earlier")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(durable, "write_bytes", killed)
        with pytest.raises(KeyboardInterrupt):
            digests.write_bytes(path, b"later")
    assert path.read_bytes() == b"earlier"
    assert digests.why_damaged(path) is None
    digests.write_bytes(path, b"later")
    assert digests.why_damaged(path) is None


def test_a_log_that_went_on_is_whole_and_one_that_changed_is_not(tmp_path):
    path = tmp_path / "events"
    path.write_bytes(b"one\n")
    digests.record(path)
    path.write_bytes(b"one\ntwo\n")
    assert digests.why_damaged(path, grows=True) is None
    assert digests.why_damaged(path) is not None
    path.write_bytes(b"One\ntwo\n")
    assert digests.why_damaged(path, grows=True) is not None
    path.write_bytes(b"on")
    assert digests.why_damaged(path, grows=True) is not None


def test_files_without_a_digest_are_accepted_and_known_as_such(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    digests.require(path, "")
    assert not digests.is_known(path)
    digests.write_bytes(path, b"abc")
    assert digests.is_known(path)


@pytest.mark.parametrize(
    "line", [b"", b"[]", b"7", b'{"file": "weights"}', b"\xff\x00", b'{"file": "weights", "bytes"']
)
def test_lines_that_cannot_be_read_are_passed_over(tmp_path, line):
    path = tmp_path / "weights"
    (tmp_path / digests.DIGESTS).write_bytes(line)
    digests.write_bytes(path, b"abc")
    assert digests.why_damaged(path) is None
    assert digests.is_known(path)


def test_a_file_is_read_once_in_a_process(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    digests.write_bytes(path, b"abc")
    digests.require(path, "")
    with monkeypatch.context() as patched:  # pytest itself opens files, too
        patched.setattr("builtins.open", None)
        assert digests.file_digest(path) == digests.file_digest(path)
