"""The measured networks are what their names say, and their arithmetic is counted right."""

import sys
from pathlib import Path

import pytest
import torch

from benchmarks.workers.cases import CASES
from striate.layers.geometry import ledger
from striate.networks import NETWORKS
from striate.registry import Pick

WORKERS = Path(__file__).parents[3] / "benchmarks" / "workers"

TWINS = {
    "lenet": Pick("lenet5"),
    "resnet20": Pick("resnet", depth=20),
    "wide": Pick("airbench"),
    "alexnet": Pick("alexnet_owt"),
    "unet": Pick("unet", width=32),
}


@pytest.fixture
def build(monkeypatch):
    """Workers run with their own folder on the path."""
    monkeypatch.syspath_prepend(str(WORKERS))
    for name in ("cases", "networks_torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    from networks_torch import build

    return build


def count(network, case):
    """Multiply-adds of one image by layer, as torch itself counts half the operations."""
    from torch.utils.flop_counter import FlopCounterMode

    images = torch.zeros(1, case.channels, case.side, case.side, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        scores = network.eval()(images)
    return counter.get_total_flops() // 2, scores


@pytest.mark.parametrize("name", CASES)
def test_multiply_adds_are_those_that_torch_counts(build, name):
    case = CASES[name]
    with torch.device("meta"):  # shapes without numbers
        network = build(name)
    total, scores = count(network, case)
    assert total == case.multiply_adds
    spatial = (case.side, case.side) if case.per_pixel else ()
    assert scores.shape == (1, case.classes, *spatial)


@pytest.mark.parametrize("name", TWINS)
def test_plain_networks_are_those_of_striate(build, name):
    case = CASES[name]
    size = (case.side, case.side)
    with torch.device("meta"):
        own = NETWORKS.build(
            TWINS[name], num_classes=case.classes, in_channels=case.channels, input_size=size
        )
        plain = build(name)
    assert sorted(p.shape for p in plain.parameters()) == sorted(p.shape for p in own.parameters())
    rows = ledger(own, (case.channels, *size))
    assert sum(row.multiply_adds for row in rows) == case.multiply_adds


def test_a_training_step_costs_thrice_the_forward_pass_less_the_first_layer(build):
    from torch.nn import functional
    from torch.utils.flop_counter import FlopCounterMode

    for name in ("vgg", "wide"):
        case = CASES[name]
        network = build(name)
        images = torch.zeros(2, case.channels, case.side, case.side, device="meta")
        target = torch.zeros(2, dtype=torch.int64, device="meta")
        with FlopCounterMode(display=False) as counter:
            functional.cross_entropy(network.to("meta")(images), target).backward()
        assert counter.get_total_flops() == 2 * case.step_flops
