"""Published weights are used as far as the time goes: pixels first, then epochs of all layers."""

import math
from typing import Any

import pytest

from striate.tasks import Conditions
from striate.training.planner.published import plan_published

SETTINGS: dict[str, Any] = {
    "network": {"name": "efficientnet"},
    "pretrained": {"name": "efficientnet", "head": "solved"},
}


def conditions(seconds: float, speed: float | None = 50.0, **more: Any) -> Conditions:
    """1,000 photographs of 200 to 400 pixels a side, of which 50 of 128 × 128 a second learn."""

    def measured(network: Any, optimiser: Any, batch: int, size: tuple[int, int]) -> float:
        assert speed is not None
        return speed * 128**2 / math.prod(size)

    facts: dict[str, Any] = {
        "num_images": 1_000,
        "num_outputs": 10,
        "heights": (200, 256, 400),
        "widths": (200, 300, 400),
        "seconds": seconds,
        "settings": SETTINGS,
        "speed": None if speed is None else measured,
    }
    return Conditions(**{**facts, **more})


def test_without_weights_nothing_is_planned() -> None:
    assert plan_published({"network": {"name": "resnet"}}, conditions(60)) is None


@pytest.mark.parametrize(
    ("seconds", "size", "freeze"),
    [
        (10, 96, 1.0),  # 3.3 s of 0.8, and no smaller size
        (16, 160, 1.0),  # 9.2 s, of which a third fits into 4.1; 13 s at the next size
        (60, 224, 1.0),  # 18.1 s of 51
        (600, 224, 0.0),  # 61 s for an epoch
    ],
)
def test_the_time_decides(seconds: float, size: int, freeze: float) -> None:
    plan = plan_published(SETTINGS, conditions(seconds))
    assert plan is not None
    assert (plan.size, plan.freeze) == ((size, size), freeze)


def test_a_share_that_was_asked_for_holds() -> None:
    asked = {**SETTINGS, "pretrained": {**SETTINGS["pretrained"], "freeze": 1.0}}
    plan = plan_published(asked, conditions(600))
    assert plan is not None
    assert (plan.size, plan.freeze) == ((224, 224), 1.0)


def test_steps_are_planned_without_measuring() -> None:
    plan = plan_published(SETTINGS, conditions(math.inf, speed=None))
    assert plan is not None
    assert plan.size == (224, 224)
    assert plan.freeze == 0.0


def test_images_are_not_enlarged_beyond_what_helps() -> None:
    small = conditions(600, heights=(50, 50, 50), widths=(50, 50, 50))
    plan = plan_published(SETTINGS, small)
    assert plan is not None
    assert plan.size == (160, 160)


def test_images_of_one_size_keep_their_shape() -> None:
    microscope = conditions(600, heights=(480,) * 3, widths=(640,) * 3)
    plan = plan_published(SETTINGS, microscope)
    assert plan is not None
    assert plan.size == (224, 296)


@pytest.mark.parametrize(("seconds", "freeze"), [(60, 1.0), (600, 0.0)])
def test_a_size_that_was_asked_for_decides_what_learns(seconds: float, freeze: float) -> None:
    asked = {**SETTINGS, "data": {"input_size": [224, 224]}}
    plan = plan_published(asked, conditions(seconds))
    assert plan is not None
    assert (plan.size, plan.freeze) == ((224, 224), freeze)


@pytest.mark.parametrize(("num_images", "freeze"), [(499, 1.0), (500, 0.0)])
def test_few_images_keep_the_solved_layer_however_long(num_images: int, freeze: float) -> None:
    plan = plan_published(SETTINGS, conditions(3_600, num_images=num_images))
    assert plan is not None
    assert plan.freeze == freeze


@pytest.mark.parametrize(("seconds", "zoom"), [(60, None), (600, 0.7)])
def test_the_centre_is_seen_as_well_where_there_is_time(seconds: float, zoom: float | None) -> None:
    asked = {**SETTINGS, "pretrained": {**SETTINGS["pretrained"], "freeze": 1.0}}
    plan = plan_published(asked, conditions(seconds))
    assert plan is not None
    assert plan.zoom == zoom
