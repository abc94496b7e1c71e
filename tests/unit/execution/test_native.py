"""Networks on the native kernels against torch's operators, in float32 on both."""

import copy
import statistics

import pytest
import torch
from torch import nn

from striate import kernels
from striate.config import ExecutionConfig
from striate.execution import accelerate, guess, restore
from tests.unit.execution.test_swap import SMALL, built, step

pytestmark = pytest.mark.skipif(not kernels.available(), reason="the kernels are not built here")


LONG = ("googlenet", "densenet", "vgg")
CASES = [
    pytest.param(
        *case, marks=[pytest.mark.slow] if case[0].name in LONG or "50" in str(case) else []
    )
    for case in SMALL
]


@pytest.mark.parametrize(("pick", "size"), CASES, ids=lambda value: str(value)[:20])
def test_networks_agree_with_torch_to_rounding(pick, size):
    """Against float64: the kernels may be off by no more than a few times what torch is off.

    Where two values are equal to the last bit, a rectifier or a maximum may decide otherwise and a
    gradient jump by a hundredth, for torch as for the kernels; the median of three draws has none.
    """
    reference = built(pick, size)
    for module in reference.modules():
        if hasattr(module, "p"):  # masks of dropout have their own generator
            module.p = 0.0
    plain = copy.deepcopy(reference).float().to(memory_format=torch.channels_last)
    shape = (3, 3, *size)
    choice = guess(plain, shape, ExecutionConfig(device="cpu", kernels=True))
    errors: dict[str, list[tuple[float, float]]] = {}
    for seed in range(3):
        torch.manual_seed(seed)
        images = torch.randn(shape).contiguous(memory_format=torch.channels_last)
        exact = step(copy.deepcopy(reference), images.double())
        expected = step(copy.deepcopy(plain), images)
        found = step(accelerate(copy.deepcopy(plain), choice), images)
        for name, value in exact.items():
            length = float(value.double().norm()) + 1e-6
            theirs = float((expected[name].double() - value).norm()) / length
            ours = float((found[name].double() - value).norm()) / length
            errors.setdefault(name, []).append((theirs, ours))
    for name, pairs in errors.items():
        theirs, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
        assert ours <= 10 * theirs + 1e-5, (name, ours, theirs)


def test_the_operators_are_those_of_the_kernels():
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.SiLU(), nn.MaxPool2d(2), nn.Conv2d(16, 16, 3)
    )
    network = network.to(memory_format=torch.channels_last)
    methods = {"0": "winograd4,winograd4,winograd4", "4": "winograd2,winograd2,winograd2"}
    shape = (4, 3, 16, 14)
    choice = guess(network, shape, ExecutionConfig(device="cpu"))
    choice = type(choice)(choice.device, True, "float32", methods=methods, layers=choice.layers)
    images = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    with torch.profiler.profile() as record:
        accelerate(network, choice)(images).sum().backward()
    names = {event.key for event in record.key_averages()}
    assert {"aten::conv2d", "aten::batch_norm", "aten::silu"} & names == set()
    again = [accelerate(network, choice)(images) for _ in range(2)]
    assert torch.equal(*again)
    torch.testing.assert_close(restore(network)(images), again[0], rtol=1e-3, atol=1e-4)
