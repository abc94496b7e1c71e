"""A part of a set for a quick try: all classes, the test split whole, the same part each time."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from striate.config import DataConfig
from striate.data import open_source, prepare, survey
from striate.data.limit import limited
from striate.data.source import Item, Listing
from striate.errors import DataError


def listing(counts: tuple[int, ...], test: int = 0) -> Listing:
    items = [Item(f"{k}/{n}.png", k, None) for k, count in enumerate(counts) for n in range(count)]
    items += [Item(f"test/{n}.png", n % len(counts), "test") for n in range(test)]
    return Listing(tuple(f"class {k}" for k in range(len(counts))), tuple(items))


def test_classes_keep_their_shares_and_none_vanishes() -> None:
    part = limited(listing((600, 300, 100, 3)), 100)
    counts = Counter(item.label for item in part.items)
    assert sum(counts.values()) == 100
    assert counts[3] == 3
    assert counts[0] == pytest.approx(60, abs=3)
    assert counts[1] == pytest.approx(30, abs=3)


def test_a_larger_part_holds_the_smaller_and_the_order_is_that_of_the_names() -> None:
    whole = listing((40, 40))
    few, more = (limited(whole, limit).items for limit in (20, 40))
    assert set(few) <= set(more)
    assert list(more) == [item for item in whole.items if item in set(more)]
    assert limited(whole, 80) == whole


def test_a_declared_test_split_stays_whole() -> None:
    part = limited(listing((50, 50), test=30), 10)
    assert Counter(item.split for item in part.items) == {None: 10, "test": 30}


def test_too_few_for_the_classes_is_refused_with_what_is_enough() -> None:
    with pytest.raises(DataError, match=r"--limit 5 is too few for 2 classes.*6 or more"):
        limited(listing((50, 50)), 5)


def test_labels_that_are_values_are_no_classes() -> None:
    names = tuple(str(n / 2) for n in range(200))
    items = tuple(Item(f"{n}.png", n, None) for n in range(200))
    assert len(limited(Listing(names, items), 20).items) == 20


def test_a_part_is_another_set_than_the_whole(
    photos: Path, config_of: Callable[..., DataConfig]
) -> None:
    whole, part = prepare(config_of(photos)), prepare(config_of(photos, limit=15))
    assert part.digest != whole.digest
    counts = part.describe()["counts"]
    assert sum(counts.values()) == 15
    assert any("15 of the 31 images" in note for note in part.notes)
    assert survey(open_source(str(photos), None, 15)).num_images == 15
    assert survey(open_source(str(photos))).num_images == 31
