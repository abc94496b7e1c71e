"""Proposals follow the plan of their network, and the ends of a space are checked beforehand."""

import json
from dataclasses import replace

import optuna
import pytest

from striate.config import PredictionConfig
from striate.errors import ConfigError
from striate.recipes import cifar10_airbench, cifar10_resnet20
from striate.registry import Pick
from striate.search import Dimension, Space, change, read_dimensions
from striate.search.space import default_dimensions, space_problems
from striate.training.assemble import check_choices, check_config

AIRBENCH = cifar10_airbench()
RESNET = change(cifar10_resnet20(), "network.width", 16)


def space_of(*words: str) -> Space:
    dimensions, _ = read_dimensions(words)
    return Space(dimensions, {"airbench": AIRBENCH, "resnet": RESNET})


def test_multiples_are_of_the_plan_of_each_network():
    space = space_of(
        "network=airbench,resnet", "optimiser.lr=x0.5..x2", "width=x0.5..x2",
        "training.batch_size=x0.5,x2", "network.depth=20,32",
    )  # fmt: skip
    drawn = {"optimiser.lr": 1.7, "width": 0.5, "training.batch_size": 0.5, "network.depth": 32}
    for name, base in space.bases.items():
        proposal = space.propose(lambda d, at={"network": name, **drawn}: at[d.key])
        config = proposal.config
        assert config.optimiser.arguments["lr"] == pytest.approx(
            1.7 * base.optimiser.arguments["lr"], rel=1e-3
        )
        assert config.training.batch_size == base.training.batch_size // 2
        assert ("network.depth" in proposal.values) == (name == "resnet")
        assert config.data == base.data
    assert config.network == Pick("resnet", depth=32, width=8)
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space


def test_the_plan_itself_is_drawn_with_every_multiple_at_one():
    bases = {"airbench": AIRBENCH, "resnet": RESNET}
    space = Space(default_dimensions(bases, lambda key: False), bases)
    drawn = space.plan_drawn()
    assert {"network", "width", "optimiser.lr", "training.batch_size", "augmentation"} <= {*drawn}
    assert space.propose(lambda d: drawn[d.key]).config == AIRBENCH
    assert space_of("optimiser.lr=5..6").plan_drawn() == {}


def test_what_a_person_chose_is_not_among_the_defaults():
    bases = {"airbench": AIRBENCH}
    chosen = {"optimiser.lr", "network.widths"}
    keys = {d.key for d in default_dimensions(bases, chosen.__contains__)}
    assert keys == {"optimiser.weight_decay", "training.batch_size", "augmentation"}


def test_a_network_answers_from_mirrored_views_only_if_it_saw_such():
    planned = replace(AIRBENCH, prediction=PredictionConfig(mirrored=True, shift=2))
    config = change(planned, "augmentation", "shift+cutmix")
    assert [pick.name for pick in config.augmentation] == ["shift", "cutmix"]
    assert config.augmentation[0] in AIRBENCH.augmentation
    assert config.prediction == PredictionConfig(mirrored=False, shift=2)
    assert change(AIRBENCH, "augmentation", "none").augmentation == ()
    with pytest.raises(ConfigError, match="Did you mean 'cutmix'"):
        change(AIRBENCH, "augmentation", "cutmx")
    with pytest.raises(ConfigError, match=r"joined by \+"):
        change(AIRBENCH, "augmentation", 3)


@pytest.mark.parametrize(
    ("word", "told"),
    {
        "network.depht=20,32": "Did you mean 'depth'",
        "optimser.lr=1..2": "no setting 'optimser'",
        "optimiser=sdg,adamw": "Did you mean 'sgd'",
        "optimiser.lr=-1..1": "lr",
        "loss.label_smoothing=0.1,2": "label_smoothing",
        "training.clip_norm=x0.5..x2": "no number there to take multiples of",
        "network.depth=20,21": "depth=21",
        "training.batch_size=sixteen,32": "training.batch_size",
    }.items(),
)
def test_the_ends_of_a_space_are_checked(word, told):
    space = Space(read_dimensions((word,))[0], {"resnet": RESNET})
    problems = space_problems(space, check_config)
    assert any(told in problem for problem in problems), problems


def test_sound_spaces_have_no_problems():
    space = space_of(
        "network=airbench,resnet", "network.depth=20,32", "optimiser=sgd,adamw",
        "optimiser.lr=1e-3..1e-1:log", "optimiser.momentum=0.5..0.9", "width=x0.5..x2",
    )  # fmt: skip
    assert space_problems(space, check_choices) == []


def test_widths_without_a_network_that_has_them_are_told():
    linear = change(AIRBENCH, "network", "linear")
    space = Space((Dimension("width", (), 0.5, 2, relative=True),), {"linear": linear})
    assert "no width to vary" in space_problems(space, check_config)[0]


def test_labels_of_choices_stand_for_their_values():
    choices = Dimension("k", ([8, 16], "a", None))
    assert choices.names == ("[8, 16]", "a", "null")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for value in choices.choices:
        study.enqueue_trial({"k": choices.stored(value)})
        assert choices.draw(study.ask()) == value
