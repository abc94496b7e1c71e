"""A small network in which every kind of native operator has its place."""

import torch
from torch import Tensor, nn

from striate.execution import Execution
from striate.layers import norm_act

SHAPE = (34, 3, 13, 14)


class Block(nn.Module):
    """A convolution with a shortcut, fused with normalisation, sum and rectifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)

    def forward(self, x: Tensor) -> Tensor:
        return norm_act(self.norm, x, torch.relu, conv=self.conv, residual=x)


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    """The same weights each time, statistics and scales of no special value."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        built = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1),
            nn.GELU("tanh"),
            Block(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 20, 3, stride=2),
            nn.BatchNorm2d(20),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(20 * 2 * 3, 5),
        )
        for module in built.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.running_var, 0.5, 2.0)
    return built.to(dtype).to(memory_format=torch.channels_last)


def images(dtype: torch.dtype = torch.float32) -> Tensor:
    draw = torch.Generator().manual_seed(12)
    x = torch.randn(SHAPE, generator=draw).to(dtype)
    return x.contiguous(memory_format=torch.channels_last)


def native() -> Execution:
    """Everything on Striate's operators."""
    return Execution(
        torch.device("cpu"),
        True,
        "float32",
        methods={
            "0": "winograd2,winograd2,winograd2",
            "2.conv": "winograd4,winograd4,winograd4",
            "4": "direct,direct,direct",
        },
        layers=("norm", "pool", "linear", "activation"),
    )
