"""The loop against a whole program that imports no Striate: the same bits at every step."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from striate.config import TrainingConfig
from striate.data import ImageSet
from striate.data.field import Category
from striate.data.loader import BatchLoader, Normalisation
from striate.execution import Execution
from striate.networks import ResNet
from striate.optim import OPTIMISERS, SCHEDULES, parameter_groups
from striate.registry import Pick
from striate.tasks import Classification, DataShape
from striate.training.assemble import Parts
from striate.training.inference import Model
from striate.training.step import learn

STEPS, BATCH = 7, 12


def example():
    path = Path(__file__).parents[2] / "examples" / "train_resnet20.py"
    spec = importlib.util.spec_from_file_location("train_resnet20", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["train_resnet20"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def images() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(3)
    return draw.integers(0, 256, (31, 16, 16, 3), dtype=np.uint8), draw.integers(0, 5, 31)


def both(images, **changes) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Weights after some steps: of the example, and of Striate's loop."""
    pixels, labels = images
    normalise = Normalisation.measure(pixels)
    torch.manual_seed(1)
    module = example()
    theirs = module.ResNet20(5).to(memory_format=torch.channels_last)
    ours = ResNet(5, depth=20).to(memory_format=torch.channels_last)
    with torch.no_grad():
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            a.copy_(b)
    module.train(
        theirs,
        pixels,
        labels,
        mean=normalise.mean,
        std=normalise.std,
        steps=STEPS,
        batch_size=BATCH,
        seed=2,
    )
    names = tuple(map(str, range(31)))
    fields = {"category": Category("abcde")}
    data = ImageSet(pixels, {"category": labels}, fields, names, names)
    settings = {"lr": 0.2, "weight_decay": 5e-4, **changes}
    optimiser = OPTIMISERS.build(Pick("sgd", **settings), parameter_groups(ours))
    networks = nn.ModuleDict({"network": ours.train()})
    task = Classification(Pick("softmax_cross_entropy"))
    execution = Execution(torch.device("cpu"), True, "float32")
    parts = Parts(
        networks=networks,
        task=task,
        data=DataShape(fields, *pixels.shape[-1:], pixels.shape[1:3]),
        optimisers={"network": optimiser},
        schedule=SCHEDULES.bind(Pick("one_cycle", peak=0.2), ("progress",)),
        loader=BatchLoader(data, BATCH, 2, normalise),
        model=Model(networks, task, normalise, execution),
        average=None,
        execution=execution,
    )
    training = TrainingConfig(BATCH, steps=STEPS, seed=2)
    for step in range(STEPS):
        learn(parts, next(parts.loader), step=step, progress=step / STEPS, training=training)
    return list(theirs.parameters()), list(ours.parameters())


def test_the_loop_equals_the_example_bit_for_bit(images):
    theirs, ours = both(images)
    for a, b in zip(theirs, ours, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("change", [{"nesterov": False}, {"weight_decay": 4e-4}, {"lr": 0.2001}])
def test_a_broken_twin_is_noticed(images, change):
    theirs, ours = both(images, **change)
    assert not all(torch.equal(a, b) for a, b in zip(theirs, ours, strict=True))
