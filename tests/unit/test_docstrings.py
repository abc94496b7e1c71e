"""Every example in a docstring of the package prints what it says."""

import doctest
import importlib
import pkgutil

import pytest

import striate

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(striate.__path__, "striate.")
    if not info.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
