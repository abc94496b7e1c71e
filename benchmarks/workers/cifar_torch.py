"""CIFAR-10 in a given time with a plain PyTorch recipe: the test error.

The recipes are the usual ones, run as well as PyTorch allows on a CPU (channels last, pages
kept, fused SGD), with their schedules cut to the time: they end at zero when it is over.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from cifar_data import MEAN, STD, Clock, Images
from networks_torch import ResNet18, ResNet20, Wide
from protocol import argument, peak_memory, say
from torch import Tensor, nn
from torch.nn import functional
from train_torch import keep_pages

_CLOSING = 0.3  # seconds kept for leaving


class Tutorial(nn.Sequential):
    """The network of PyTorch's tutorial "Training a classifier"."""

    def __init__(self, classes: int) -> None:
        super().__init__(
            nn.Conv2d(3, 6, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(400, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, classes),
        )


@dataclass(frozen=True)
class Recipe:
    """A network with its usual training."""

    network: Callable[[int], nn.Module]
    batch: int
    lr: float
    weight_decay: float
    momentum: float = 0.9
    smoothing: float = 0.0
    shift: int = 4
    alternate: bool = False
    mirrored_answers: bool = False
    bias_rate: float = 1.0
    """Of the normalisations' biases, times the others'."""
    triangle: bool = False
    """Straight up and down (Jordan 2024) instead of one cycle."""


RECIPES = {
    "tutorial": Recipe(Tutorial, 32, 0.03, 5e-4, shift=2),
    "resnet20": Recipe(ResNet20, 128, 0.2, 5e-4),
    "resnet18": Recipe(ResNet18, 128, 0.1, 5e-4),
    # Jordan (2024) has rate 11.5 and decay 0.0153 "per 1024 examples", decoupled from momentum
    # 0.85: here for the mean loss; the biases of normalisations learn 64 times as fast.
    "airbench": Recipe(
        Wide,
        512,
        11.5 * 512 / (1024 * (1 + 1 / (1 - 0.85))),
        0.0153 / 11.5,
        momentum=0.85,
        smoothing=0.2,
        shift=2,
        alternate=True,
        mirrored_answers=True,
        bias_rate=64.0,
        triangle=True,
    ),
}


def one_cycle(progress: float) -> float:
    """Rises over the first fifth, then falls to zero along a cosine."""
    if progress < 0.2:
        return 0.1 + 0.9 * progress / 0.2
    return 0.5 * (1 + math.cos(math.pi * (progress - 0.2) / 0.8))


def triangle(progress: float) -> float:
    """From 0.2 up to 1 at 0.23 of the time, down to 0.07."""
    if progress < 0.23:
        return 0.2 + 0.8 * progress / 0.23
    return 1 - 0.93 * (progress - 0.23) / 0.77


def to_tensor(pixels: np.ndarray) -> Tensor:
    images = torch.from_numpy(pixels).to(torch.float32)
    images = (images - torch.from_numpy(MEAN)) / torch.from_numpy(STD)
    return images.permute(0, 3, 1, 2)


@torch.no_grad()
def whiten(network: Wide, images: Tensor) -> None:
    """Set the frozen filters from patches, as the paper does."""
    patches = images.unfold(2, 2, 1).unfold(3, 2, 1).movedim(1, 3).reshape(-1, 12)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    basis = (vectors / (values + 5e-4).sqrt()).T.flip(0).reshape(-1, 3, 2, 2)
    network.whiten.weight.copy_(torch.cat((basis, -basis)))


def groups(network: nn.Module, recipe: Recipe) -> list[dict]:
    learned = [weight for weight in network.parameters() if weight.requires_grad]
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    biases = [module.bias for module in norms]
    others = [weight for weight in learned if not any(weight is bias for bias in biases)]
    slow = recipe.weight_decay / recipe.bias_rate  # so that decay times rate stays the same
    return [
        {"params": others, "base": recipe.lr, "weight_decay": recipe.weight_decay},
        {"params": biases, "base": recipe.lr * recipe.bias_rate, "weight_decay": slow},
    ]


def main() -> None:
    asked = argument()
    recipe = RECIPES[asked["recipe"]]
    keep_pages()
    torch.manual_seed(asked["seed"])
    network = recipe.network(10).to(memory_format=torch.channels_last)
    data = Images(
        asked["folder"],
        recipe.batch,
        asked["seed"],
        source=asked["source"],
        shift=recipe.shift,
        alternate=recipe.alternate,
    )
    if isinstance(network, Wide):
        whiten(network, to_tensor(next(data)[0]))
    optimiser = torch.optim.SGD(
        groups(network, recipe), lr=recipe.lr, momentum=recipe.momentum, nesterov=True, fused=True
    )
    clock = Clock(asked["began"], asked["budget"], _CLOSING)
    longest = 0.0
    while True:
        before = time.time()
        if before + longest > clock.end:  # a step more would end too late
            break
        rate = (triangle if recipe.triangle else one_cycle)(clock.progress())
        for group in optimiser.param_groups:
            group["lr"] = group["base"] * rate
        pixels, labels = next(data)
        scores = network(to_tensor(pixels))
        loss = functional.cross_entropy(
            scores, torch.from_numpy(labels), label_smoothing=recipe.smoothing
        )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        longest = max(0.9 * longest, time.time() - before)
    seconds = time.time() - asked["began"]
    wrong, count = evaluate(network, recipe, asked)
    say(
        test_error=wrong / count,
        n=count,
        seconds=round(seconds, 2),
        epochs=round(data.seen / len(data.labels), 3),
        whole_seconds=round(time.time() - asked["began"], 2),
        **peak_memory(),
        versions={"torch": torch.__version__},
    )


@torch.inference_mode()
def evaluate(network: nn.Module, recipe: Recipe, asked: dict) -> tuple[int, int]:
    folder = Path(asked["folder"])
    pixels, labels = np.load(folder / "test.npy"), np.load(folder / "test_labels.npy")
    if asked.get("images"):  # in order of classes: a stride takes from all
        pick = np.linspace(0, len(labels) - 1, asked["images"]).astype(int)
        pixels, labels = pixels[pick], labels[pick]
    network.eval()
    wrong = 0
    for start in range(0, len(labels), 500):
        images = to_tensor(pixels[start : start + 500])
        scores = network(images)
        if recipe.mirrored_answers:
            scores = scores + network(images.flip(3))
        wrong += int((scores.argmax(1).numpy() != labels[start : start + 500]).sum())
    return wrong, len(labels)


if __name__ == "__main__":
    main()
