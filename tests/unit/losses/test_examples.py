"""Every example in a docstring of the losses is true."""

import doctest
import importlib
import pkgutil

import pytest

import striate.losses

MODULES = [
    f"striate.losses.{module.name}" for module in pkgutil.iter_modules(striate.losses.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    failures, _ = doctest.testmod(importlib.import_module(name))
    assert failures == 0
