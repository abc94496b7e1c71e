"""Races with a clock of our own."""

import pytest

from striate.execution import timing


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run(costs: dict[str, list[float]], seconds: float, most_turns: int = 5):
    clock, turns = Clock(), dict.fromkeys(costs, 0)

    def entrant(name: str):
        def call() -> None:
            given = costs[name]
            clock.now += given[min(turns[name], len(given) - 1)]
            turns[name] += 1

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "perf_counter", clock)
        return timing.race({n: entrant(n) for n in costs}, seconds, most_turns=most_turns), turns


def test_the_first_turn_does_not_count():
    found, turns = run({"a": [9.0, 2.0], "b": [1.0, 3.0]}, 100.0, most_turns=2)
    assert found["b"].best == 3.0
    assert turns["b"] == 3


def test_what_is_far_behind_drops_out():
    found, turns = run({"a": [1.0], "b": [1.6], "c": [1.4]}, 100.0)
    assert turns == {"a": 6, "b": 1, "c": 6}
    assert found["b"].num_turns == 1


def test_no_round_begins_after_the_time():
    _, turns = run({"a": [1.0], "b": [1.0]}, 3.5)
    assert turns == {"a": 2, "b": 2}
    found, turns = run({"a": [5.0], "b": [5.0]}, 3.5)
    assert turns == {"a": 1, "b": 1}
    assert found["a"].best == 5.0
