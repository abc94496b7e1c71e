"""Every example in a docstring of the layers is true."""

import doctest
import importlib
import pkgutil

import pytest

import striate.layers

MODULES = [
    module.name for module in pkgutil.walk_packages(striate.layers.__path__, "striate.layers.")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    failures, _ = doctest.testmod(importlib.import_module(name))
    assert failures == 0
