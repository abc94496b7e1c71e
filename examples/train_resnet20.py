"""ResNet-20 on CIFAR-10-like images: a whole training on one page, without Striate.

Striate's own loop must end on the same weights bit for bit (tests/endtoend/test_parity.py), and
its overhead is measured against this one (benchmarks/overhead.py).

    python examples/train_resnet20.py IMAGES.npz --steps 100

reads arrays `images` uint8 (N, H, W, 3) and `labels` int64 (N,).
"""

import argparse
import hashlib
import math
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut without parameters (option A)."""

    def __init__(self, num_in: int, num_out: int, stride: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(num_in, num_out, 3, stride, 1, bias=False)
        self.norm0 = nn.BatchNorm2d(num_out)
        self.conv1 = nn.Conv2d(num_out, num_out, 3, 1, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(num_out)
        self.stride, self.new = stride, num_out - num_in

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm0(self.conv0(x)))
        y = self.norm1(self.conv1(y))
        if self.new:
            half = self.new // 2
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], [0, 0, 0, 0, half, half])
        return functional.relu(y + x)


class ResNet20(nn.Module):
    """He et al. 2016, section 4.2."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        blocks, width = [], 16
        for wider in (16, 16, 16, 32, 32, 32, 64, 64, 64):
            blocks.append(Block(width, wider, 1 if wider == width else 2))
            width = wider
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.conv(x)))
        return self.head(self.pool(self.blocks(x)).flatten(1))


def generator(seed: int, *stream: str | int) -> torch.Generator:
    """Chance for a named use."""
    text = "\x1f".join(map(str, (seed, *stream)))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def one_cycle(progress: float, peak: float = 0.2, start: float = 0.04) -> float:
    """Half a cosine up to 1, half a cosine down to 0."""
    if progress < peak:
        return 1 + (start - 1) * (1 + math.cos(math.pi * (progress / peak))) / 2
    return (1 + math.cos(math.pi * ((progress - peak) / (1 - peak)))) / 2


def train(
    network: nn.Module,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    steps: int,
    batch_size: int = 128,
    lr: float = 0.2,
    weight_decay: float = 5e-4,
    seed: int = 0,
) -> list[float]:
    """Train in place; the loss of each step."""
    centre, scale = torch.tensor(mean).view(1, 3, 1, 1), torch.tensor(std).view(1, 3, 1, 1)
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    optimiser = torch.optim.SGD(
        [{"params": kernels, "weight_decay": weight_decay}, {"params": others}],
        lr=lr,
        momentum=0.9,
        nesterov=True,
        fused=True,
    )
    network.train()
    losses = []
    stream = np.concatenate(
        [
            torch.randperm(len(images), generator=generator(seed, "order", epoch)).numpy()
            for epoch in range(steps * batch_size // len(images) + 1)
        ]
    )
    for step in range(steps):
        index = np.sort(stream[step * batch_size : (step + 1) * batch_size])
        batch = torch.from_numpy(images[index]).permute(0, 3, 1, 2).float().div_(255)
        batch = ((batch - centre) / scale).contiguous(memory_format=torch.channels_last)
        for group in optimiser.param_groups:
            group["lr"] = lr * one_cycle(step / steps)
        loss = functional.cross_entropy(network(batch), torch.from_numpy(labels[index]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images")
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args()
    with np.load(arguments.images) as data:
        images, labels = data["images"], data["labels"].astype(np.int64)
    torch.manual_seed(0)
    network = ResNet20(int(labels.max()) + 1).to(memory_format=torch.channels_last)
    began = time.perf_counter()
    levels = images.reshape(-1, 3) / 255
    mean, std = levels.mean(axis=0).tolist(), levels.std(axis=0).tolist()
    losses = train(network, images, labels, mean=mean, std=std, steps=arguments.steps)
    speed = 128 * arguments.steps / (time.perf_counter() - began)
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}, {speed:.0f} images a second")


if __name__ == "__main__":
    main()
