"""The loss curve of LeNet-5 on digits, as text: any change of the arithmetic shows here.

Regenerate after a change that is meant: python tests/golden/test_digits_curve.py
"""

from pathlib import Path

import pytest

from striate.config import RunConfig
from striate.data import prepare
from striate.recipes import RECIPES
from striate.registry import Pick
from striate.settings import merge
from striate.training.assemble import assemble
from striate.training.step import learn

CURVE = Path(__file__).with_name("digits_lenet.txt")
STEPS = 25


def losses() -> list[float]:
    recipe = RECIPES.build(Pick("digits_lenet")).to_json()
    config = RunConfig.from_json(merge(recipe, {"execution": {"threads": 1}}))
    parts = assemble(config, prepare(config.data))
    parts.networks.train()
    return [
        learn(
            parts,
            next(parts.loader),
            step=step,
            progress=step / STEPS,
            training=config.training,
            average_decay=0.9,
        ).loss
        for step in range(STEPS)
    ]


def test_the_curve_is_the_one_on_record():
    # Other processors add in another order: 1e-7 a step, grown by the 25 steps of training to
    # about 1e-5. A rate changed by a fiftieth already moves the curve further (below).
    recorded = [float(line) for line in CURVE.read_text().split()]
    assert losses() == pytest.approx(recorded, rel=1e-4)


def test_a_changed_rate_moves_the_curve(monkeypatch):
    recorded = [float(line) for line in CURVE.read_text().split()]
    changed = RECIPES.build(Pick("digits_lenet")).to_json()
    changed["optimiser"]["lr"] *= 1.02
    monkeypatch.setattr(RECIPES, "build", lambda pick: RunConfig.from_json(changed))
    assert losses() != pytest.approx(recorded, rel=1e-4)


if __name__ == "__main__":
    CURVE.write_text("".join(f"{loss:.6f}\n" for loss in losses()))
