import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from striate import durable
from striate.errors import LedgerError
from striate.evaluation import (
    OpeningRecord,
    adjusted_reading,
    ledger_path,
    open_test,
    openings,
    receipts_of,
    record_result,
    until_result,
    verify,
)
from striate.evaluation.chain import Chain, entry_hash
from striate.evaluation.ledger import Verification
from striate.evaluation.ledger import opened as num_openings


def opened(split, run: Path, times: int = 1):
    for _ in range(times):
        opening = open_test(split, run_hash="f00d", run_folder=run, version="0.1")
        record_result(opening, {"error": 0.25, "n": 8})
    return opening


def lines_of(split) -> list[str]:
    return ledger_path(split.digest).read_text().splitlines()


def rewrite(split, lines: list[str]) -> None:
    ledger_path(split.digest).write_text("".join(line + "\n" for line in lines))


def test_openings_are_numbered_and_carry_their_results(split, run):
    first = opened(split, run)
    second = open_test(split, run_hash="beef", run_folder=run)
    assert (first.number, second.number) == (1, 2)
    told = openings(split.digest)
    assert [record.result for record in told] == [{"error": 0.25, "n": 8}, None]
    assert (told[0].run, told[0].version, told[0].folder) == ("f00d", "0.1", str(run))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", told[0].time)
    assert verify(split.digest, receipts_of(run)).sound


def test_a_ledger_is_written_into_folders_that_do_not_exist_yet(tmp_path):
    path = tmp_path / "one" / "two" / "ledger.jsonl"
    Chain.read(path, "origin").append({"kind": "opening", "number": 1})
    assert [line["number"] for line in Chain.read(path, "origin").lines if line] == [1]


def test_the_line_is_on_the_disk_before_the_opening_exists(split, run):
    opening = open_test(split, run_hash="f00d", run_folder=run)
    line = json.loads(lines_of(split)[-1])
    assert (line["kind"], line["hash"]) == ("opening", opening.entry_hash)
    assert line["hash"] == entry_hash(line)


def test_each_run_keeps_a_receipt(split, run):
    opening = opened(split, run)
    (receipt,) = receipts_of(run)
    assert (receipt.test, receipt.number, receipt.hash) == (
        split.digest,
        opening.number,
        opening.entry_hash,
    )


def test_a_split_that_was_never_opened_has_an_empty_sound_ledger(split, run):
    assert openings(split.digest) == []
    assert verify(split.digest).sound
    assert receipts_of(run) == []


def test_the_openings_so_far_are_counted_over_all_runs(split, run, tmp_path):
    assert num_openings(split.digest) == 0
    assert not ledger_path(split.digest).exists()
    opened(split, run, 2)
    (tmp_path / "other").mkdir()
    # One whose evaluation did not end counts too: the images were in reach.
    open_test(split, run_hash="beef", run_folder=tmp_path / "other")
    assert num_openings(split.digest) == 3
    rewrite(split, lines_of(split)[:2])
    assert num_openings(split.digest) == 3
    with pytest.raises(LedgerError, match="letters and digits only"):
        num_openings("../passwd")


def test_two_at_once_get_different_numbers(split, tmp_path):
    runs = [tmp_path / f"run {i}" for i in range(8)]
    for folder in runs:
        folder.mkdir()
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda folder: opened(split, folder, 2).number, runs))
    assert len(set(numbers)) == 8
    assert [record.number for record in openings(split.digest)] == list(range(1, 17))
    assert verify(split.digest).sound


def test_an_edited_line_is_found(split, run):
    opened(split, run, 2)
    lines = lines_of(split)
    lines[1] = lines[1].replace("0.25", "0.05")
    rewrite(split, lines)
    assert verify(split.digest).findings == (
        "Line 2 was edited: its content does not match its hash.",
    )


def test_an_edited_line_with_a_new_hash_is_found_by_the_next_and_by_the_receipt(split, run):
    opened(split, run, 2)
    lines = lines_of(split)
    entry = json.loads(lines[0]) | {"run": "other"}
    lines[0] = json.dumps(entry | {"hash": entry_hash(entry)})
    rewrite(split, lines)
    findings = " ".join(verify(split.digest).findings)
    assert "Before line 2 an entry was removed, inserted or replaced" in findings
    assert "Opening 1 in the ledger is not the one" in findings


@pytest.mark.parametrize("removed", [0, 1, 2])
def test_a_removed_line_is_found(split, run, removed):
    opened(split, run, 2)
    lines = lines_of(split)
    del lines[removed]
    rewrite(split, lines)
    assert "an entry was removed" in " ".join(verify(split.digest).findings)


def test_a_truncated_tail_is_found_by_the_head_record_and_by_receipts(split, run):
    opened(split, run, 2)
    rewrite(split, lines_of(split)[:2])
    findings = " ".join(verify(split.digest).findings)
    assert "The end of the ledger is missing: 4 lines were written, 2 remain" in findings
    assert "receipt of opening 2, which the ledger does not have" in findings
    ledger_path(split.digest).with_suffix(".head.json").unlink()
    assert "receipt of opening 2" in " ".join(verify(split.digest, receipts_of(run)).findings)


def test_a_missing_ledger_is_found_and_the_count_goes_on(split, run):
    opened(split, run, 3)
    ledger_path(split.digest).unlink()
    findings = " ".join(verify(split.digest, receipts_of(run)).findings)
    assert "The whole ledger is missing; its head record knows of 6 lines" in findings
    assert "receipt of opening 3" in findings
    ledger_path(split.digest).with_suffix(".head.json").unlink()
    assert opened(split, run).number == 4
    assert "receipt of opening 1" in " ".join(verify(split.digest).findings)


def test_all_but_the_first_line_gone_with_the_head_is_still_seen_by_receipts(split, run):
    opened(split, run, 2)
    rewrite(split, lines_of(split)[:1])
    ledger_path(split.digest).with_suffix(".head.json").unlink()
    assert not verify(split.digest, receipts_of(run)).sound


def test_an_alteration_is_recorded_once_and_told_ever_after(split, run):
    opened(split, run, 3)
    rewrite(split, lines_of(split)[:4])
    assert opened(split, run).number == 4
    kinds = [json.loads(line)["kind"] for line in lines_of(split)]
    assert kinds[4:] == ["altered", "altered", "opening", "result"]
    assert opened(split, run).number == 5
    assert len(lines_of(split)) == 10
    findings = verify(split.digest, receipts_of(run)).findings
    assert len(findings) == 2
    assert all("(recorded 20" in finding for finding in findings)


def test_a_finding_comes_once_whatever_the_path_that_the_run_was_given_by(
    split, run, tmp_path, monkeypatch
):
    opened(split, run, 2)
    ledger_path(split.digest).unlink()
    ledger_path(split.digest).with_suffix(".head.json").unlink()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(run)
    ways = [run, Path("run one"), Path("./run one/../run one"), Path("link")]
    before = {verify(split.digest, receipts_of(way)).findings for way in ways}
    assert len(before) == 1
    assert opened(split, Path("run one")).number == 3
    after = {verify(split.digest, receipts_of(way)).findings for way in ways}
    assert [len(findings) for findings in (*before, *after)] == [2, 2]
    assert all(str(run) in finding for finding in next(iter(after)))


def test_a_torn_last_line_is_no_tampering_and_is_mended(split, run):
    opened(split, run)
    path = ledger_path(split.digest)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"kind": "opening", "numb')
    verification = verify(split.digest, receipts_of(run))
    assert verification.sound
    assert "cut short by a crash" in verification.notices[0]
    assert opened(split, run).number == 2
    assert path.read_bytes().startswith(whole + b'{"kind": "opening", "number": 2')
    assert verify(split.digest).notices == ()


def test_a_line_that_lost_only_its_end_is_whole(split, run):
    opened(split, run)
    path = ledger_path(split.digest)
    path.write_bytes(path.read_bytes()[:-1])
    assert verify(split.digest).sound
    assert opened(split, run).number == 2
    assert verify(split.digest).sound


def test_a_confirmed_line_cut_in_the_middle_is_tampering(split, run):
    opened(split, run)
    path = ledger_path(split.digest)
    path.write_bytes(path.read_bytes()[:-40])
    verification = verify(split.digest)
    assert "The end of the ledger is missing" in verification.findings[0]
    assert verification.notices == ()


def test_a_crash_between_the_line_and_the_head_record_is_no_tampering(split, run):
    opened(split, run)
    head = ledger_path(split.digest).with_suffix(".head.json")
    before = head.read_bytes()
    open_test(split, run_hash="f00d", run_folder=run)
    head.write_bytes(before)
    assert verify(split.digest, receipts_of(run)).sound


def test_rubbish_in_the_middle_is_found_and_the_count_goes_on(split, run):
    opened(split, run, 2)
    lines = lines_of(split)
    lines[1] = "\x00 rubbish"
    rewrite(split, lines)
    assert verify(split.digest).findings == ("Line 2 cannot be read as an entry.",)
    assert opened(split, run).number == 3


def test_a_ledger_of_another_split_does_not_pass(split, run, home):
    opened(split, run, 2)
    other = "ffff00"
    ledger_path(other).write_bytes(ledger_path(split.digest).read_bytes())
    assert "Before the first line" in verify(other).findings[0]


def test_receipts_of_other_splits_and_torn_ones_are_passed_over(split, run):
    opened(split, run)
    with open(run / "openings.jsonl", "ab") as stream:
        stream.write(b'{"test": "ffff00", "number": 9, "hash": "aa"}\n{"test": "a1b2c3", "num')
    assert verify(split.digest, receipts_of(run)).sound
    assert opened(split, run).number == 2


def test_a_ledger_that_cannot_be_written_keeps_the_split_closed(split, run, home):
    home.mkdir()
    (home / "ledgers").write_text("in the way")
    with pytest.raises(LedgerError, match="stays closed"):
        open_test(split, run_hash="f00d", run_folder=run)


def test_a_missing_run_folder_keeps_the_split_closed(split, tmp_path):
    with pytest.raises(LedgerError, match="the test split stays closed"):
        open_test(split, run_hash="f00d", run_folder=tmp_path / "nowhere")


def test_a_digest_that_is_a_path_is_refused():
    with pytest.raises(LedgerError, match="letters and digits only"):
        openings("../../etc/passwd")


@pytest.mark.slow
def test_two_processes_at_once_get_different_numbers(split, run, home):
    import subprocess
    import sys

    program = """
import sys
from pathlib import Path
from striate.data.seal import SealedSplit
from striate.evaluation import open_test
for _ in range(20):
    split = SealedSplit(sys.argv[1], 8, lambda: None)
    print(open_test(split, run_hash="f00d", run_folder=Path(sys.argv[2])).number)
"""
    command = [sys.executable, "-c", program, split.digest, str(run)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    numbers = [int(word) for process in both for word in process.communicate()[0].split()]
    assert sorted(numbers) == list(range(1, 41))
    assert verify(split.digest, receipts_of(run)).sound


HUGE = 10**400


@pytest.mark.parametrize(
    "edited",
    [
        {"result": {"n": 8, "wrong": 9, "error": 0.5}},
        {"result": {"n": 0, "wrong": 0, "error": None}},
        {"result": {"n": -8, "wrong": -9, "error": 0.5}},
        {"result": {"n": HUGE, "wrong": HUGE, "error": HUGE}},
        {"result": {"n": 8, "wrong": "two", "error": 0.5}},
        {"result": {"n": 8, "wrong": 2, "error": 0.25, "runs": 5}},
        {"result": {"n": 8, "error": [0.25]}},
        {"result": [8, 2]},
        {"number": HUGE},
        {"number": -1},
        {"number": "one"},
        {"opening": ["a list"]},
        {"version": "\ud800"},
        {"folder": "nul\0"},
    ],
)
def test_counts_that_cannot_be_are_findings(split, run, edited):
    """A ledger of such lines is read to its end, though each line has the hash that it needs."""
    opened(split, run)
    kind = "opening" if "folder" in edited or "version" in edited else "result"
    lines, previous = [], None
    for line in lines_of(split):
        entry = json.loads(line)
        entry |= {"previous": previous} if previous else {}
        entry |= edited if entry["kind"] == kind else {}
        entry["hash"] = previous = entry_hash(entry)
        lines.append(json.dumps(entry))
    rewrite(split, lines)
    findings = verify(split.digest, receipts_of(run)).findings
    records = openings(split.digest)
    assert findings
    assert num_openings(split.digest) == 1
    assert adjusted_reading(records, 1) is None
    assert open_test(split, run_hash="f00d", run_folder=run).number == 2


def test_a_receipt_of_an_impossible_number_is_passed_over(split, run):
    opened(split, run)
    with open(run / "openings.jsonl", "a") as stream:
        for number in ("1e999", "-1", "1" + "0" * 400, '"one"', "[" * 100_000):
            stream.write(f'{{"test": "{split.digest}", "number": {number}, "hash": "x"}}\n')
    assert [receipt.number for receipt in receipts_of(run)] == [1]
    assert open_test(split, run_hash="f00d", run_folder=run).number == 2


@pytest.mark.parametrize("room", range(0, 400, 40))
def test_an_entry_that_is_cut_short_leaves_the_ledger_as_it_was(split, run, room):
    """Whatever part of the line the disk has room for."""
    from full_disk import files_no_longer_than

    opened(split, run, 2)
    path = ledger_path(split.digest)
    before = path.read_bytes()
    with files_no_longer_than(len(before) + room):
        try:
            open_test(split, run_hash="f00d", run_folder=run)
        except LedgerError:
            assert path.read_bytes() == before
    assert verify(split.digest, receipts_of(run)).sound
    assert opened(split, run).number == num_openings(split.digest)
    assert verify(split.digest, receipts_of(run)) == Verification(())


def test_without_the_head_record_the_entry_is_taken_back(split, run, monkeypatch):
    opened(split, run)
    before = ledger_path(split.digest).read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(durable, "write_json", full)
        with pytest.raises(LedgerError, match="No space left"):
            open_test(split, run_hash="f00d", run_folder=run)
    assert ledger_path(split.digest).read_bytes() == before
    assert opened(split, run).number == 2
    assert verify(split.digest, receipts_of(run)) == Verification(())


def test_a_folder_that_takes_no_receipt_is_refused_before_anything_is_written(split, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(LedgerError, match=r"stays closed.*evaluate a copy"):
        open_test(split, run_hash="f00d", run_folder=tmp_path / "file")
    assert not ledger_path(split.digest).exists()


def test_an_opening_without_its_receipt_showed_nothing(split, run):
    (run / "openings.jsonl").mkdir()
    with pytest.raises(LedgerError, match="receipt of opening 1"):
        open_test(split, run_hash="f00d", run_folder=run)
    assert [record.nothing_shown for record in openings(split.digest)] == [True]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_opening_that_failed_before_its_result_showed_nothing(split, run, error):
    opening = open_test(split, run_hash="f00d", run_folder=run)
    with pytest.raises(error), until_result(opening):
        raise error
    assert opened(split, run).number == 2
    first, second = openings(split.digest)
    assert (first.nothing_shown, first.result) == (True, None)
    assert (second.nothing_shown, second.result) == (False, {"error": 0.25, "n": 8})
    assert verify(split.digest, receipts_of(run)).sound


def test_what_failed_after_its_result_has_shown_it(split, run):
    opening = open_test(split, run_hash="f00d", run_folder=run)
    with suppress(KeyboardInterrupt), until_result(opening):
        record_result(opening, {"error": 0.25, "n": 8})
        raise KeyboardInterrupt
    assert [record.nothing_shown for record in openings(split.digest)] == [False]


def test_openings_that_showed_nothing_do_not_widen_the_interval():
    result = {"n": 100, "wrong": 10, "error": 0.1}

    def record(number, result=None, nothing_shown=False):
        return OpeningRecord(number, "", "", "", "", result, nothing_shown)

    once = adjusted_reading([record(1, result)], 1)
    failed = adjusted_reading([record(1, None, True), record(2, None, True), record(3, result)], 3)
    assert (failed.low, failed.high, failed.openings) == (once.low, once.high, 1)
    assert "opened once (2 more showed nothing)" in failed.sentence
    unknown = adjusted_reading([record(1), record(2, result)], 2)
    assert unknown.high > once.high


def test_an_opening_of_an_earlier_version_without_result_counts():
    old = dict.fromkeys(("time", "run", "folder", "version"), "") | {"number": 1, "result": None}
    assert OpeningRecord.from_json(old).nothing_shown is None
