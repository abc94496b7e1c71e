"""Plans that change on the way still end at progress 1."""

from itertools import pairwise

import pytest

from striate.training.plan import Plan


def test_progress_is_even_without_changes():
    plan = Plan.of(8)
    assert [plan.progress(step) for step in range(9)] == [step / 8 for step in range(9)]
    assert plan.progress(10) == 1.0


def test_a_change_bends_the_line_and_keeps_the_past():
    plan = Plan.of(100)
    bent = plan.changed(40, 70).changed(55, 200)
    for step in range(41):
        assert bent.progress(step) == plan.progress(step)
    assert bent.progress(55) == pytest.approx(0.4 + 0.6 * 15 / 30, abs=1e-15)
    assert bent.progress(200) == 1.0
    assert bent.total == 200
    rising = [bent.progress(step) for step in range(201)]
    assert all(a < b for a, b in pairwise(rising))


def test_a_plan_never_ends_before_the_next_step():
    assert Plan.of(0).total == 0
    assert Plan.of(0).progress(0) == 0.0
    assert Plan.of(0).crossed(0, 10)
    assert Plan.of(100).changed(40, 3).total == 41


def test_json_round_trip():
    plan = Plan.of(100).changed(40, 70)
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize("total", [1, 2, 7, 10, 99, 1234])
@pytest.mark.parametrize("parts", [1, 3, 10])
def test_each_part_is_crossed_once_and_the_end_always(total, parts):
    plan = Plan.of(total)
    crossed = [step for step in range(1, total + 1) if plan.crossed(step, parts)]
    assert crossed[-1] == total
    assert len(crossed) == min(total, parts)
    assert len(set(crossed)) == len(crossed)
