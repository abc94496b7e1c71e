"""The logic of choosing, with timings made up."""

import pytest
import torch
from torch import nn

from striate import folders
from striate import kernels as package
from striate.config import ExecutionConfig
from striate.execution import Execution, chooser, convolution, guess, step_seconds, trial_seconds
from striate.execution.table import trial_json, trial_text
from striate.execution.timing import Timing

SHAPE = (5, 3, 12, 9)
CPU = ExecutionConfig(device="cpu", threads=1)


@pytest.fixture
def kernels(calls, monkeypatch):
    """Native kernels that know two methods besides torch's."""
    names = {"forward": ["torch", "a", "b"], "data": ["torch", "a"], "weight": ["torch", "b"]}
    monkeypatch.setattr(package, "candidates", lambda geometry: names)
    monkeypatch.setattr(package, "default_methods", lambda geometry: "b,a,torch")
    monkeypatch.setattr(chooser, "offered", lambda network: ("norm",))
    return calls


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2)
    )


def racing(**seconds: float):
    """A race with known results; a title's words may stand for the whole."""
    seen: list[list[str]] = []

    def race(entrants, budget, **_):
        seen.append(list(entrants))
        for call in entrants.values():
            call()  # each must at least run
        return {
            name: Timing.of([seconds.get(name.replace(" ", "_").replace(",", ""), 1.0)])
            for name in entrants
        }

    race.seen = seen
    return race


def never(*_, **__) -> dict[str, Timing]:
    raise AssertionError("nothing is to be measured")


def choose(network, race, config=CPU, seconds=5.0, shape=SHAPE, **others):
    with pytest.MonkeyPatch.context() as patch:
        for module in (chooser, convolution):
            patch.setattr(module, "race", race)
            patch.setattr(module, "perf_counter", lambda: 0.0)  # a busy machine leaves none over
        return chooser.choose(network, shape, config, seconds=seconds, **others)


def test_each_direction_takes_its_fastest_method(kernels, network):
    race = racing(a=0.5, b=0.3, kernels=0.4)
    trial = choose(network, race)
    # the first layer's input takes no gradient: there is nothing to race
    assert trial.execution.methods == {"0": "b,torch,b", "3": "b,a,b"}
    assert trial.execution.layers == ("norm",)
    assert trial.execution.origin == "measured"


def test_a_method_that_is_hardly_faster_is_not_taken(kernels, network):
    trial = choose(network, racing(a=0.98, b=0.98, kernels=0.5))
    assert trial.execution.methods == {}


def test_torch_stays_when_whole_steps_gain_nothing(kernels, network):
    trial = choose(network, racing(a=0.1, b=0.1, kernels=0.99))
    assert trial.execution.methods == {}
    assert trial.execution.layers == ()


def test_parts_can_win_alone(kernels, network):
    trial = choose(network, racing(a=0.1, b=0.1, kernels=0.9, kernels_convolutions_alone=0.5))
    assert trial.execution.layers == ()
    assert trial.execution.methods
    trial = choose(
        network, racing(a=0.1, kernels=0.9, kernels_all_but_convolutions=0.5), fresh=True
    )
    assert trial.execution.layers == ("norm",)
    assert trial.execution.methods == {}


def test_what_is_remembered_is_not_measured_again(kernels, network):
    first = choose(network, racing(a=0.5, b=0.3, kernels=0.4))
    again = choose(network, never)
    assert again.execution.origin == "remembered"
    assert again.execution.methods == first.execution.methods
    assert choose(network, never, seconds=0.0).execution.methods == first.execution.methods
    race = racing(kernels=1.0)
    assert choose(network, race, fresh=True).execution.methods == {}
    other = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU())
    race = racing()
    choose(other, race)
    assert race.seen


def test_a_short_trial_is_made_again_when_there_is_time(kernels, network):
    choose(network, racing(), seconds=0.7)
    race = racing()
    choose(network, race, seconds=0.9)
    assert not race.seen
    choose(network, race, seconds=9.0)
    assert race.seen


def test_a_broken_file_is_ignored_with_a_note(kernels, network):
    choose(network, racing(a=0.5, kernels=0.4))
    for path in (folders.cache_dir() / "execution").iterdir():
        path.write_text('{"format": 1, "question"')
    race = racing()
    trial = choose(network, race)
    assert race.seen
    assert "cannot be read" in trial.notes[0]
    assert "cannot be read" in trial_text(trial)


def test_exact_takes_torch_and_measures_nothing(kernels, network):
    config = ExecutionConfig(device="cpu", threads=1, exact=True)
    trial = choose(network, never, config)
    assert trial.execution.is_plain
    assert trial.execution.origin == "exact"


def test_without_kernels_or_when_they_are_refused_torch_is_alone(kernels, network, monkeypatch):
    race = racing()
    config = ExecutionConfig(device="cpu", threads=1, kernels=False, channels_last=True)
    assert choose(network, race, config).execution.is_plain
    assert race.seen == [["torch"]]
    monkeypatch.setattr(package, "available", lambda: False)
    assert choose(network, racing()).execution.is_plain


def test_kernels_that_are_asked_for_have_no_rival(kernels, network):
    race = racing(a=0.1, b=0.2, kernels=9.0)
    trial = choose(network, race, ExecutionConfig(device="cpu", threads=1, kernels=True))
    assert trial.execution.methods
    assert race.seen[-1] == ["kernels"], "nor torch with its channels first"


def test_a_guess_needs_no_clock_and_is_always_the_same(kernels, network):
    first = guess(network, SHAPE, CPU)
    assert first.methods == {"0": "b,a,torch", "3": "b,a,torch"}
    assert first == guess(network, SHAPE, CPU)
    little = guess(network, SHAPE, ExecutionConfig(device="cpu"))
    assert little.threads == 1


def test_no_time_no_measuring(kernels, network):
    assert choose(network, never, seconds=0.0).execution.origin == "guessed"
    assert trial_seconds(10.0) == 0.0
    assert trial_seconds(60.0) == pytest.approx(1.5)
    assert trial_seconds(36_000.0) == 10.0


def test_a_choice_goes_to_json_and_back(kernels, network):
    trial = choose(network, racing(a=0.5, b=0.3, kernels=0.4))
    kept = Execution.recorded(CPU, trial.execution.to_json())
    assert kept == trial.execution
    values = trial_json(trial)
    assert values["chosen"]["methods"] == trial.execution.methods
    assert "chosen" in trial_text(trial)


def test_bfloat16_only_where_it_is_allowed(kernels, network, monkeypatch):
    monkeypatch.setattr(chooser, "_has_cpu_bfloat16", lambda: True)
    fast = racing(torch_bfloat16=0.01)
    assert choose(network, fast).execution.precision == "float32"
    allowed = ExecutionConfig(device="cpu", threads=1, precision="auto")
    assert choose(network, fast, allowed).execution.precision == "bfloat16"
    assert choose(network, fast, allowed, seconds=0).execution.precision == "bfloat16"
    assert guess(network, SHAPE, allowed).precision == "float32"


def test_kernels_that_are_asked_for_and_are_not_here_leave_torch(kernels, network, monkeypatch):
    monkeypatch.setattr(package, "available", lambda: False)
    config = ExecutionConfig(device="cpu", threads=1, kernels=True, channels_last=True)
    assert choose(network, racing(), config).execution.is_plain


def test_a_compiler_that_fails_is_told(kernels, network, monkeypatch):
    def fail(*_):
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr(chooser, "step_call", fail)
    config = ExecutionConfig(device="cpu", threads=1, compile=True, kernels=False)
    trial = choose(network, racing(), config)
    assert trial.execution.compiled == "default"
    assert trial.candidates[0].problem == "no compiler"


def test_what_is_raced_has_the_threads_that_were_asked_for(kernels, network):
    seen = []

    def race(entrants, budget, **_):
        seen.append(torch.get_num_threads())
        return {name: Timing.of([1.0]) for name in entrants}

    before = torch.get_num_threads()
    choose(network, race, ExecutionConfig(device="cpu", threads=before + 2))
    assert set(seen) == {before + 2}
    assert torch.get_num_threads() == before


def test_more_threads_are_expected_to_be_faster(network):
    one, three = (
        step_seconds(network, SHAPE, ExecutionConfig(device="cpu", threads=n)) for n in (1, 3)
    )
    assert one == pytest.approx(3 * three)


def test_a_choice_between_fewer_than_all_is_not_the_last_word(kernels, network, monkeypatch):
    seconds = [10.0]
    monkeypatch.setattr(chooser, "step_seconds", lambda *_: seconds[0])
    large = (64, *SHAPE[1:])

    def trial(race, seconds):
        return choose(network, race, seconds=seconds, shape=large)

    assert len(trial(racing(), 3.0).candidates) == 2
    assert trial(never, 3.0).execution.origin == "remembered"
    seconds[0] = 0.01
    race = racing()
    assert trial(race, 9.0).execution.origin == "measured"
    assert len(race.seen[-1]) > 2
    trial(never, 10.0)


def test_what_was_on_offer_is_part_of_the_question(network, monkeypatch):
    monkeypatch.setattr(Execution, "of", lambda config: Execution(torch.device("cuda"), True, "x"))
    monkeypatch.setattr(chooser.store, "machine", str)
    config = ExecutionConfig()
    assert chooser._tries_compilation(config, None)
    assert chooser._tries_compilation(config, 1800.0)
    assert not chooser._tries_compilation(config, 1799.0)
    assert not chooser._tries_compilation(ExecutionConfig(compile=False), None)
    asked = [chooser._question(network, SHAPE, config, compiles) for compiles in (True, False)]
    assert asked[0] != asked[1]
