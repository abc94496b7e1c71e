"""The resolved configuration and the settings that a person gives."""

import json

import pytest

from striate.config import RunConfig
from striate.errors import ConfigError
from striate.recipes import RECIPES
from striate.registry import Pick
from striate.settings import checked, merge, parse_assignments


@pytest.fixture
def config() -> RunConfig:
    return RECIPES.build(Pick("cifar10_resnet20"))


def test_json_round_trip_keeps_everything(config):
    text = json.dumps(config.to_json())
    assert RunConfig.from_json(json.loads(text)) == config


def test_hash_follows_every_field(config):
    changed = RunConfig.from_json(merge(config.to_json(), {"training": {"seed": 1}}))
    assert changed.hash != config.hash
    again = dict(reversed(config.to_json().items()))
    assert RunConfig.from_json(again).hash == config.hash


def test_every_problem_is_reported(config):
    broken = merge(
        config.to_json(),
        {
            "training": {"batch_sise": 3, "batch_size": "many", "epochs": True},
            "data": {"channels": 2},
            "netwrok": "lenet5",
        },
    )
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_json(broken)
    text = str(caught.value)
    assert len(caught.value.problems) == 5
    assert "Did you mean 'training.batch_size'?" in text
    assert "training.batch_size='many' does not fit; accepted: a whole number." in text
    assert "training.epochs=True does not fit" in text
    assert "data.channels=2 does not fit; accepted: 1 or 3." in text
    assert "Did you mean 'network'?" in text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"training": {"epochs": None}}, "at least one of"),
        ({"training": {"epochs": 0}}, "above zero"),
        ({"training": {"batch_size": 0}}, "must be 1 or more"),
        ({"training": {"seed": -1}}, "must be 0 or more"),
        ({"training": {"clip_norm": 0}}, "clip_norm"),
        ({"data": {"test_fraction": 1.0}}, "between 0 and 1"),
        ({"data": {"input_size": [32]}}, "input_size"),
    ],
)
def test_values_out_of_range(config, settings, message):
    with pytest.raises(ConfigError, match=message):
        RunConfig.from_json(merge(config.to_json(), settings))


def test_assignments_nest_and_parse():
    assert parse_assignments(["a.b=2", "a.c=[1, 2]", "network=resnet", "network.depth=32"]) == {
        "a": {"b": 2, "c": [1, 2]},
        "network": {"name": "resnet", "depth": 32},
    }
    with pytest.raises(ConfigError, match="expected key=value"):
        parse_assignments(["depth"])


def test_a_new_name_drops_the_old_arguments():
    base = {"optimiser": {"name": "sgd", "momentum": 0.9}}
    assert merge(base, {"optimiser": {"name": "sgd", "lr": 1}})["optimiser"]["momentum"] == 0.9
    assert merge(base, {"optimiser": {"name": "adamw"}}) == {"optimiser": {"name": "adamw"}}
    assert base == {"optimiser": {"name": "sgd", "momentum": 0.9}}


def test_settings_that_do_not_exist_or_fit_are_found_before_the_data():
    with pytest.raises(ConfigError) as caught:
        checked(
            {
                "trainig": {},
                "data": {"fits": 1, "source": "elsewhere"},
                "training": 3,
                "network": 5,
                "augmentation": [5],
                "execution": {"threads": "many"},
            }
        )
    text = str(caught.value)
    assert len(caught.value.problems) == 7
    assert "Did you mean 'training'?" in text
    assert "Did you mean 'data.fit'?" in text
    assert "data.source is the DATA of the command" in text
    assert "network=5 does not fit; accepted: a name" in text
    assert "execution.threads='many' does not fit; accepted: a whole number" in text


def test_settings_come_in_one_form():
    assert checked({"loss": "hinge", "data": {"input_size": 96}, "augmentation": ["flip"]}) == {
        "loss": {"name": "hinge"},
        "data": {"input_size": [96, 96]},
        "augmentation": [{"name": "flip"}],
    }
