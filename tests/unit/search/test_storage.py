"""Trials in a shared file: claimed once, taken over from the dead, given up by the median."""

from dataclasses import replace

import pytest

from striate.errors import RunError
from striate.recipes import cifar10_airbench
from striate.search import Space, read_dimensions
from striate.search.storage import Storage

SPACE = Space(
    read_dimensions(("optimiser.lr=x0.25..x4", "augmentation=none,flip,flip+shift"))[0],
    {"airbench": cifar10_airbench()},
)
POINTS = 5


COUNTED = {"wrong": 1, "n": 10}
"""The result that a trial notes before it ends whole."""


def space_with(seed):
    plan = SPACE.plan
    training = replace(plan.training, seed=seed, validations=POINTS)
    return replace(SPACE, bases={"airbench": replace(plan, training=training)})


def opened(folder, **how):
    return Storage(folder, space_with(how.pop("seed", 3)), **how)


def always():
    return True


def error_of(trial):
    """A number that follows from what was drawn."""
    lr = trial.proposal.drawn["optimiser.lr"]
    return abs(lr - 1.3) / 10 + 0.01 * len(trial.proposal.drawn["augmentation"])


def work(storage, most):
    """Finish trials until there are enough; what was drawn in each."""
    drawn = []
    while True:
        with storage.claim(most, always) as trial:
            if trial is None:
                return drawn
            drawn.append(dict(trial.proposal.drawn))
            trial.end("whole", error_of(trial), **COUNTED)


def test_a_search_that_was_stopped_draws_what_it_would_have_drawn(tmp_path):
    whole = work(opened(tmp_path / "whole"), 14)
    parts = work(opened(tmp_path / "parts"), 5)
    with opened(tmp_path / "parts").claim(14, always) as lost:
        parts.append(dict(lost.proposal.drawn))  # dies before it ends
    again = opened(tmp_path / "parts")
    with again.claim(14, always) as trial:
        assert (trial.number, trial.resumed) == (5, True)
        assert dict(trial.proposal.drawn) == parts[-1]
        trial.end("whole", error_of(trial), **COUNTED)
    parts += work(again, 14)
    assert parts == whole
    other = work(opened(tmp_path / "other", seed=4), 14)
    assert other[0] == whole[0] == SPACE.plan_drawn()
    assert all(a != b for a, b in zip(other[1:8], whole[1:8], strict=True))


def test_a_trial_that_another_process_holds_is_not_taken(tmp_path):
    first, second = opened(tmp_path), opened(tmp_path)
    with first.claim(3, always) as one, second.claim(3, always) as two:
        assert (one.number, two.number) == (0, 1)
        with first.claim(2, always) as none:
            assert none is None
        with first.claim(3, lambda: False) as none:
            assert none is None
        one.end("whole", 0.5, **COUNTED)
        two.end("failed", reason="no memory")
    states = [record.state for record in second.records()]
    assert states == ["whole", "failed"]
    assert second.records()[1].notes["reason"] == "no memory"
    assert len(work(second, 3)) == 2  # one takes the place of the failed one


def report_and_finish(storage, errors, final):
    with storage.claim(99, always) as trial:
        for point, error in enumerate(errors, start=1):
            if trial.report(point / POINTS, error, error - 0.02):
                trial.end("pruned")
                return point
        trial.end("whole", final, **COUNTED)
        return None


@pytest.mark.parametrize("prune", [True, False])
def test_trials_above_the_median_are_given_up_after_a_while(tmp_path, prune):
    storage = opened(tmp_path, prune=prune)
    for middle in (0.5, 0.3, 0.4, 0.2):
        assert report_and_finish(storage, [0.5, middle, middle, middle], middle / 2) is None
    # The median at the second point is 0.35; the first point lies in the share that is spared,
    # and an error of which the interval (here 0.02 to either side) holds the median is chance.
    by_chance = report_and_finish(storage, [0.95, 0.36, 0.36, 0.36], 0.2)
    bad = report_and_finish(storage, [0.95, 0.39, 0.36, 0.36], 0.2)
    assert (by_chance, bad) == (None, 2 if prune else None)
    record = storage.records()[5]
    if prune:
        assert record.state == "pruned"
        assert record.curve == ((0.2, 0.95), (0.4, 0.39))
        assert record.is_finished


def test_a_point_is_reported_once(tmp_path):
    storage = opened(tmp_path)
    with storage.claim(2, always) as trial:
        trial.report(0.2, 0.5, 0.4)
        trial.report(0.2 + 1e-9, 0.7, 0.6)
        trial.end("whole", 0.1, **COUNTED)
    assert storage.records()[0].curve == ((0.2, 0.5),)


def test_a_torn_last_line_is_taken_away(tmp_path):
    work(opened(tmp_path), 3)
    journal = tmp_path / "trials.jsonl"
    before = journal.read_bytes()
    journal.write_bytes(before + b'{"op_code": 4, "stu')
    storage = opened(tmp_path)
    assert len(work(storage, 4)) == 1
    assert [record.state for record in opened(tmp_path).records()] == ["whole"] * 4
    assert journal.read_bytes().startswith(before)


def test_what_decides_the_error_is_the_most_important(tmp_path, capsys):
    storage = opened(tmp_path)
    assert storage.importance() == {}
    while True:
        with storage.claim(24, always) as trial:
            if trial is None:
                break
            trial.end("whole", abs(trial.proposal.drawn["optimiser.lr"] - 1.3), **COUNTED)
    found = storage.importance()
    assert max(found, key=found.get) == "optimiser.lr"
    assert sum(found.values()) == pytest.approx(1)
    said = capsys.readouterr()
    assert said.out + said.err == ""


def test_a_note_that_is_null_is_none(tmp_path):
    storage = opened(tmp_path)
    with storage.claim(1, always) as trial:
        trial.end("whole", 0.1, values=None, **COUNTED)
    assert storage.records()[0].cells(["optimiser.lr"]) == [""]


@pytest.mark.parametrize(
    "notes",
    [
        {"values": ["a"]},
        {"seconds": "1"},
        {"n": [3]},
        {"loss": {}},
        {"n": None},
        {"n": 0, "wrong": 0},
        {"wrong": None},
        {"wrong": 11},
        {"wrong": None, "low": 0.1, "high": None},
    ],
)
def test_notes_of_another_type_are_refused(notes, tmp_path):
    storage = opened(tmp_path)
    with storage.claim(1, always) as trial:
        trial.end("whole", 0.1, **COUNTED | notes)
    with pytest.raises(RunError, match=r"trials\.jsonl cannot be read"):
        opened(tmp_path)
