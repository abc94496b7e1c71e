"""Operators of torch in the place of the native ones: what is tested is the exchange."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from striate import kernels
from striate.kernels.operators.activation import ACTIVATIONS


def batch_norm_act(module, x, activation="none", residual=None) -> torch.Tensor:
    y = torch.nn.BatchNorm2d.forward(module, x)
    return ACTIVATIONS[activation](y if residual is None else y + residual)


def convolution(x, weight, bias, stride, padding, dilation, groups, methods) -> torch.Tensor:
    return F.conv2d(x, weight, bias, stride, padding, dilation, groups)


def max_pool2d(x, kernel_size, stride, padding, dilation, ceil_mode) -> torch.Tensor:
    return F.max_pool2d(x, kernel_size, stride, padding, dilation, ceil_mode)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Stands in for the native operators; each call is noted with its arguments."""
    noted: list[tuple[str, Any]] = []
    for operator in (batch_norm_act, convolution, max_pool2d):

        def run(*arguments: Any, own: Any = operator) -> Any:
            noted.append((own.__name__, arguments))
            return own(*arguments)

        monkeypatch.setattr(kernels, operator.__name__, run)
    monkeypatch.setattr(kernels, "available", lambda: True)
    monkeypatch.setattr(kernels, "convolution_norm_act", lambda *_: None)
    return noted
