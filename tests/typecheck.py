"""The checker of annotations while the tests run: shapes by jaxtyping, types by beartype."""

from collections.abc import Iterator

import pytest
from beartype import BeartypeConf, beartype
from jaxtyping import config

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))
"""A whole number is accepted where a real one is annotated, as in Python's own typing."""


@pytest.fixture(scope="module", autouse=True)
def annotations_unchecked() -> Iterator[None]:
    """For tests of whole trainings, which would take 2.6 times as long with each call checked.

    The modules whose tests import this fixture are those; the tests of the parts check.
    """
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
