"""The log is append only, and reads as if nothing had been interrupted."""

import pytest

from full_disk import files_no_longer_than
from striate.digests import why_damaged
from striate.training.events import EventLog, read_events


def test_a_rewind_takes_back_exactly_what_came_after_the_checkpoint(tmp_path):
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        log.write("step", step=1)
        checkpoint = log.offset()
        log.write("step", step=2)
    size = path.stat().st_size
    with EventLog(path) as log:
        log.rewind(checkpoint, "resumed", step=1)
        log.write("step", step=2, again=True)
    assert path.stat().st_size > size
    assert read_events(path) == [
        {"event": "step", "step": 1},
        {"event": "step", "step": 2, "again": True},
    ]
    assert len(read_events(path, all_lines=True)) == 4


def test_a_divergence_stays_visible_until_it_is_taken_back_itself(tmp_path):
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        log.write("step", step=1)
        checkpoint = log.offset()
        log.write("step", step=2)
        log.rewind(checkpoint, "diverged", step=2, text="why")
        log.write("step", step=2)
        assert [e["event"] for e in read_events(path)] == ["step", "rewind", "step"]
        log.rewind(checkpoint, "resumed")
    assert [e["event"] for e in read_events(path)] == ["step"]


def test_a_line_torn_by_a_crash_is_passed_over(tmp_path):
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        log.write("step", step=1)
    with open(path, "ab") as stream:
        stream.write(b'{"event": "step", "st')
    assert [e["step"] for e in read_events(path)] == [1]
    with EventLog(path) as log:
        log.write("step", step=2)
    assert [e["step"] for e in read_events(path)] == [1, 2]


def test_listeners_hear_what_is_written(tmp_path):
    heard = []
    with EventLog(tmp_path / "events.jsonl", (heard.append,)) as log:
        log.write("step", step=3)
    assert heard == [{"event": "step", "step": 3}]
    assert read_events(tmp_path / "absent.jsonl") == []


def test_a_line_that_is_cut_short_is_taken_back(tmp_path):
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        log.write("step", step=1)
        size = path.stat().st_size
        with (
            files_no_longer_than(size + 9),
            pytest.raises(OSError, match="larger than a file may be"),
        ):
            log.write("step", step=2)
        assert path.stat().st_size == size
        log.write("step", step=3)
    assert [e["step"] for e in read_events(path)] == [1, 3]


def test_the_end_of_a_session_keeps_the_digest_of_the_log(tmp_path):
    path = tmp_path / "events.jsonl"
    for step in (1, 2):
        with EventLog(path) as log:
            log.write("step", step=step)
    with open(path, "ab") as stream:  # a session that was killed
        stream.write(b'{"event": "step", "step": 3}\n')
    assert why_damaged(path, grows=True) is None
    path.write_bytes(path.read_bytes().replace(b"2", b"5"))
    assert why_damaged(path, grows=True) is not None
