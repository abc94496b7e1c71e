"""striate race, rate and variance, through the command line's own parser."""

import pytest
import typer
from typer.testing import CliRunner

from striate.api.optimisation import race, range_test, variance
from striate.cli import optimisation
from striate.errors import ConfigError
from striate.optim.surface import Surface

APP = typer.Typer(pretty_exceptions_enable=False)
for function in (optimisation.race, optimisation.rate, optimisation.variance):
    APP.command()(function)


def run(*words):
    result = CliRunner().invoke(APP, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_race_prints_a_table_and_writes_what_is_named(tmp_path):
    paths = [tmp_path / name for name in ("race.png", "race.html", "race.gif")]
    output = run(
        "race", "-s", "ravine", "-s", "saddle", "-o", "adam", "-o", "muon", "--steps", 5,
        "--png", paths[0], "--html", paths[1], "--gif", paths[2],
    )  # fmt: skip
    assert "ravine, 5 steps" in output
    assert "saddle, 5 steps" in output
    assert "muon" in output
    assert all(path.stat().st_size > 1000 for path in paths)
    assert output.count("wrote") == 3


def test_race_takes_surfaces_and_optimisers_of_ones_own():
    import torch

    bowl = Surface("bowl", lambda p: p.square().sum(1), (1.0, 1.0), (-2.0, 2.0, -2.0, 2.0), 0.0)
    (one,) = race([bowl], {"mine": torch.optim.SGD}, num_steps=4)
    assert one.tracks[0].optimiser == "mine"


def test_all_wrong_names_are_told_together():
    with pytest.raises(ConfigError) as error:
        race(["ravin", "saddle"], ["sdg", "adam"])
    assert len(error.value.problems) == 2
    with pytest.raises(ConfigError) as error:
        variance("lenet5", initialisations=["glorott"], assignments=("network.dept=3",))
    assert len(error.value.problems) == 2
    with pytest.raises(ConfigError, match="nosuch"):
        range_test("digits", network="nosuch")


def test_rate_suggests_one_for_digits(tmp_path):
    output = run(
        "rate", "digits", "-n", "linear", "--steps", 40, "--set", "optimiser=adamw",
        "--png", tmp_path / "rate.png",
    )  # fmt: skip
    suggested = float(output.split("suggested learning rate: ")[1].split()[0])
    assert 1e-4 < suggested < 0.3
    assert (tmp_path / "rate.png").stat().st_size > 1000


def test_variance_compares_initialisations():
    output = run("variance", "lenet5", "-i", "glorot", "-i", "lsuv", "--channels", 1)
    lines = output.splitlines()
    assert lines[0].split() == ["forward", "variance", "own", "glorot", "lsuv"]
    assert [float(line.split()[3]) for line in lines[1:6]] == pytest.approx([1] * 5, abs=0.011)
    assert "backward variance" in output
