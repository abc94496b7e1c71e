"""A space from the command line and from files; everything that is wrong is told at once."""

import pytest

from striate.errors import ConfigError
from striate.search import Dimension, read_dimensions


def test_nothing_said_means_the_usual_space():
    assert read_dimensions(()) == ((), True)
    assert read_dimensions(("width=x0.5..x2",)) == (
        (Dimension("width", (), 0.5, 2.0, log=True, relative=True),),
        False,
    )
    assert read_dimensions(("defaults", "optimiser=sgd,adamw"))[1]


def test_files_hold_nested_or_dotted_settings(tmp_path):
    toml = tmp_path / "space.toml"
    toml.write_text(
        'defaults = true\noptimiser.lr = "1e-3..0.1:log"\n[loss]\n'
        "label_smoothing = {low = 0.0, high = 0.3}\n[training]\nbatch_size = [16, 48]\n"
    )
    json = tmp_path / "space.json"
    json.write_text('{"optimiser": {"lr": "1e-3..0.1:log"}, "network": ["vgg", "lenet5"]}')
    found, keep = read_dimensions((str(toml),))
    assert keep
    assert found == (
        Dimension("optimiser.lr", (), 1e-3, 0.1, log=True),
        Dimension("loss.label_smoothing", (), 0.0, 0.3),
        Dimension("training.batch_size", (16, 48)),
    )
    found, keep = read_dimensions((str(json), "width=x1..x2"))
    assert [d.key for d in found] == ["optimiser.lr", "network", "width"]
    assert not keep


def test_all_problems_are_told_together(tmp_path):
    broken = tmp_path / "broken.toml"
    broken.write_text("= 3")
    listed = tmp_path / "list.json"
    listed.write_text("[1]")
    words = (
        "training.epochs=1..5",
        "data.split_seed=1,2",
        "data.input_size=16,24",
        "training.seed=1..9",
        "execution.threads=1,2",
        "optimiser.lr=1..2",
        "optimiser.lr=3..4",
        "=5",
        "space.yaml",
        str(tmp_path / "absent.toml"),
        str(broken),
        str(listed),
    )
    with pytest.raises(ConfigError) as told:
        read_dimensions(words)
    expected = [
        "same length", "same images", "luckiest seed", "how fast", "named twice",
        "no setting before", "neither KEY=VALUES", "cannot be read", "is no TOML",
        "must hold a table",
    ]  # fmt: skip
    assert len(told.value.problems) == len(expected)
    for problem, words_of_it in zip(told.value.problems, expected, strict=True):
        assert problem.startswith("--space: ")
        assert words_of_it in problem
