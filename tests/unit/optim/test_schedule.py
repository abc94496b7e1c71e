import math

import pytest
import torch

from striate.errors import ConfigError
from striate.optim import SCHEDULES, schedule


def test_one_cycle_is_torchs():
    """OneCycleLR over n steps is at progress i/(n−1) at step i."""
    point = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.SGD([point], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 1.0, total_steps=41, pct_start=0.25, div_factor=25, final_div_factor=400
    )
    for i in range(41):
        # Theirs peaks at step 0.25·41 − 1 = 9.25, of 40.
        ours = schedule.one_cycle(i / 40, peak=9.25 / 40, start=1 / 25, end=1 / 10_000)
        assert ours == pytest.approx(theirs.get_last_lr()[0], rel=1e-12)
        optimiser.step()
        if i < 40:
            theirs.step()


def test_cosine_is_torchs():
    point = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.SGD([point], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=37, eta_min=0.1)
    for i in range(38):
        # Theirs is a recurrence: rounding adds up over 37 steps.
        assert schedule.cosine(i / 37, end=0.1) == pytest.approx(
            theirs.get_last_lr()[0], rel=1e-12, abs=1e-12
        )
        optimiser.step()
        theirs.step()


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("step", {"at": (0.3, 0.6), "factor": 0.5}, {0.29: 1, 0.3: 0.5, 0.6: 0.25, 1: 0.25}),
        ("linear", {"end": 0.2}, {0: 1, 0.25: 0.8, 0.5: 0.6, 1: 0.2}),
        ("polynomial", {"power": 3.0}, {0: 1, 0.5: 0.125, 1: 0}),
        ("exponential", {"end": 1e-4}, {0: 1, 0.25: 0.1, 0.5: 0.01}),
        ("inverse_sqrt", {"warmup": 0.04}, {0.04: 1, 0.16: 0.5, 0.64: 0.25}),
        ("cosine_restarts", {"cycles": 2, "end": 0.1}, {0: 1, 0.25: 0.55, 0.5: 1, 1: 0.1}),
        ("warmup_stable_decay", {"warmup": 0.2, "decay": 0.5}, {0.2: 1, 0.5: 1, 0.75: 0.5, 1: 0}),
        ("cosine", {"warmup": 0.2}, {0.2: 1, 0.6: 0.5, 1: 0}),
    ],
)
def test_known_values(name, options, expected):
    for progress, factor in expected.items():
        assert SCHEDULES[name](float(progress), **options) == pytest.approx(factor, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("constant", {"warmup": 1.0}, "warmup=1.0"),
        ("cosine", {"end": -0.1}, "end=-0.1"),
        ("cosine_restarts", {"cycles": 0}, "cycles=0"),
        ("polynomial", {"power": 0.0}, "power=0.0"),
        ("exponential", {"end": 0.0}, "never reaches"),
        ("inverse_sqrt", {"warmup": 0.0}, "must be above 0"),
        ("one_cycle", {"peak": 1.0}, "peak=1.0"),
        ("one_cycle", {"start": math.inf}, "start=inf"),
        ("step", {"at": (0.2, 1.5)}, r"\[1.5\] do not"),
        ("step", {"factor": -1.0}, "factor=-1.0"),
        ("warmup_stable_decay", {"warmup": 0.6, "decay": 0.5}, "must not exceed 1"),
    ],
)
def test_bad_options_are_told(name, options, message):
    with pytest.raises(ConfigError, match=message):
        SCHEDULES[name](0.5, **options)
