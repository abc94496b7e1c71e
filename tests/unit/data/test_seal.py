"""The seal: who cannot open it."""

import copy

import numpy as np
import pytest

from striate.data.field import Category
from striate.data.part import ImageSet
from striate.data.seal import Opening, SealedSplit, issue
from striate.errors import SealedTestError

DIGEST = "a1b2c3"


@pytest.fixture
def loads() -> list[int]:
    return []


@pytest.fixture
def split(loads: list[int]) -> SealedSplit:
    def load() -> ImageSet:
        loads.append(1)
        columns, fields = {"category": np.arange(3)}, {"category": Category("abc")}
        pixels = np.zeros((3, 5, 7, 1), np.uint8)
        return ImageSet(pixels, columns, fields, ("a", "b", "c"), ("d", "e", "f"))

    return SealedSplit(DIGEST, 3, load)


def test_an_opening_made_by_hand_opens_nothing(split, loads):
    issued = issue(DIGEST, 2, "0" * 64)
    for forged in (
        Opening(DIGEST, 1, ""),
        Opening(DIGEST, issued.number, issued.entry_hash),
        copy.copy(issued),
    ):
        with pytest.raises(SealedTestError, match="did not issue it in this process"):
            split.read(forged)
    assert loads == []
    assert len(split.read(issued)) == 3


def test_an_opening_opens_once(split, loads):
    opening = issue(DIGEST, 1, "0" * 64)
    split.read(opening)
    with pytest.raises(SealedTestError, match="was used already"):
        split.read(opening)
    assert loads == [1]


def test_an_opening_of_another_split_stays_good_for_its_own(split):
    other = SealedSplit("ffff00", 3, split._load)
    opening = issue(DIGEST, 1, "0" * 64)
    with pytest.raises(SealedTestError, match="belongs to the test split a1b2c3"):
        other.read(opening)
    split.read(opening)
