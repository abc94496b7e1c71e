"""Plans for sets of every look, as text: any change of what the planner decides shows here.

Regenerate after a change that is meant: python tests/golden/test_plans.py
"""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from striate.data import Survey
from striate.registry import Pick
from striate.training.planner import decide

PLANS = Path(__file__).with_name("plans.txt")
PARTS = ("augmentation", "loss", "network", "optimiser", "prediction", "schedule", "training")
SETS = {
    "digits": (1_797, (8, 8), 1.0, 10),
    "characters": (70_000, (28, 28), 1.0, 10),
    "objects": (60_000, (32, 32), 0.0, 10),
    "few objects": (450, (32, 32), 0.02, 3),
    "scenes": (4_485, (256, 300), 1.0, 15),
    "wide scenes": (12_000, (120, 400), 0.1, 40),
    "many photographs": (900_000, (300, 400), 0.0, 1_000),
    "middling": (9_000, (64, 48), 0.0, 20),
}
SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"training": {"minutes": 0.2}},
    {"training": {"minutes": 1.0}},
    {"training": {"minutes": 20.0}},
    {"training": {"steps": 300}, "network": {"name": "resnet"}},
    {"training": {"minutes": 3.0, "epochs": 7.0}, "network": {"name": "lenet5"}},
)


def survey_of(num: int, size: tuple[int, int], grey: float, classes: int) -> Survey:
    height, width = size
    smallest = height if num % 100 else height // 2  # of some sets all images are of one size
    return Survey(
        title="set",
        class_names=tuple(f"class {k}" for k in range(classes)),
        num_images=num,
        counts_per_class={"unsplit": (num // classes,) * classes},
        num_sampled=100,
        heights=(smallest, height, height),
        widths=(width, width, width),
        grey_share=grey,
        modes={"RGB": 100},
        formats={"JPEG": 100},
        num_broken=0,
    )


def speed(
    classes: int, channels: int, how: object, pick: Pick, optimiser: Pick, batch: int, size: tuple
) -> float:
    """A machine whose speed falls with widths and pixels, and grows a little with the batch."""
    work = size[0] * size[1] * max(pick.arguments["widths"]) ** 1.3
    return 7e8 / work * batch**0.1


def plans() -> Iterator[str]:
    """A line for each set and each of the settings."""
    for (name, about), settings in itertools.product(SETS.items(), SETTINGS):
        config, _ = decide("x", survey_of(*about), settings, speed)
        whole = rounded(config.to_json())
        plan = {part: whole[part] for part in PARTS if part in whole}
        plan |= {"size": whole["data"]["input_size"], "channels": whole["data"]["channels"]}
        yield f"{name} {json.dumps(settings)} {json.dumps(plan, sort_keys=True)}\n"


def rounded(value: Any) -> Any:
    """JSON with numbers of eight digits: powers differ in the last one between machines."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.8g}") if isinstance(value, float) else value


@pytest.mark.parametrize("number", range(len(SETS)))
def test_the_plans_are_those_on_record(number: int) -> None:
    each = len(SETTINGS)
    recorded = PLANS.read_text(encoding="utf-8").splitlines(keepends=True)
    assert len(recorded) == each * len(SETS)
    mine = itertools.islice(plans(), number * each, (number + 1) * each)
    assert list(mine) == recorded[number * each : (number + 1) * each]


if __name__ == "__main__":
    PLANS.write_text("".join(plans()), encoding="utf-8")
