"""Operators of torch in the place of the native ones: what is tested is the exchange."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from striate.execution import chooser, convolution, fusion, layer


def norm_act(
    x, weight, bias, mean, var, training, momentum, eps, activation="none", residual=None
) -> torch.Tensor:
    y = F.batch_norm(x, mean, var, weight, bias, training, momentum, eps)
    return layer.ACTIVATIONS[activation](y if residual is None else y + residual)


def conv(x, weight, bias, stride, padding, dilation, groups, methods) -> torch.Tensor:
    return F.conv2d(x, weight, bias, stride, padding, dilation, groups)


def max_pool2d(x, kernel_size, stride, padding, dilation, ceil_mode) -> torch.Tensor:
    return F.max_pool2d(x, kernel_size, stride, padding, dilation, ceil_mode)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Stands in for the native operators; each call is noted with what it was asked for."""
    noted: list[tuple[str, Any]] = []

    def noting(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            noted.append((name, arguments))
            return call(*arguments)

        return run

    table = {
        "norm_act": noting("norm_act", norm_act),
        "convolution": noting("convolution", conv),
        "max_pool2d": noting("max_pool2d", max_pool2d),
    }
    for module in (layer, chooser, convolution, fusion):
        monkeypatch.setattr(module, "operator", table.get)
    return noted
