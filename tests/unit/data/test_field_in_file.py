"""Fields whose values are arrays: kept in files of their own, apart for the test split."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate.data import prepare
from striate.data.cache import images_dir
from striate.data.field import Field, Loaded
from striate.data.folder import FolderSource
from striate.data.seal import issue
from striate.errors import DataError


class Depth(Field):
    """A distance for each pixel, drawn from the item's name."""

    kind = "depth"
    in_file = True

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = tuple(names)

    @classmethod
    def of(cls, source: Any, name: str) -> "Depth":
        return cls()

    def read(self, item: Any) -> np.ndarray:
        return np.random.default_rng(list(item.name.encode())).integers(0, 999, (5, 4), np.uint16)

    def load(self, source: Any, items: Any, spec: Any, path: Path) -> Loaded:
        column = np.memmap(path, np.uint16, "w+", shape=(len(items), 5, 4))
        for row, item in enumerate(items):
            column[row] = self.read(item)
        column.flush()
        return Loaded(column, [item.name for item in items])

    def summary(self, column: Any) -> str:
        return "depths"


@pytest.mark.parametrize("changed", [{}, {"streaming": True}, {"folds": 3, "fold": 1}])
def test_arrays_lie_beside_their_images(
    photos: Path, config_of: Callable[..., Any], changed: dict[str, Any]
) -> None:
    fields = {"depth": Depth()}
    source = FolderSource(photos)
    known = {item.name: Depth().read(item) for item in source.items}
    for _ in range(2):  # decoded, then from the cache
        data = prepare(config_of(photos, **changed), source=source, fields=fields)
        for split in (data.train, data.validation):
            values = np.asarray(split.columns["depth"])
            assert values.dtype == np.uint16
            assert len(values) == len(split) > 0
            np.testing.assert_array_equal(values, [known[name] for name in split.names])
    test = data.test.read(issue(data.test.digest, 1, ""))
    np.testing.assert_array_equal(test.columns["depth"], [known[name] for name in test.names])
    (folder,) = (path for path in images_dir().iterdir() if path.is_dir())
    assert not list(folder.glob("*.staging"))
    assert (folder / "test" / "depth.array").stat().st_size == len(test) * 40
    items = (folder / "development" / "items.json").read_text()
    assert '"fields":{}' in items


def test_arrays_of_a_run_of_items_stay_on_the_disk(
    photos: Path, config_of: Callable[..., Any]
) -> None:
    data = prepare(config_of(photos), source=FolderSource(photos), fields={"depth": Depth()})
    column = data.train.columns["depth"]
    assert isinstance(column, np.memmap)
    assert not column.flags.owndata
    assert not column.flags.writeable


def test_altered_arrays_of_the_test_part_are_refused_missing_ones_of_the_other_made_anew(
    photos: Path, config_of: Callable[..., Any]
) -> None:
    fields = {"depth": Depth()}
    data = prepare(config_of(photos), source=FolderSource(photos), fields=fields)
    path = next(images_dir().glob("*/test/depth.array"))
    content = bytearray(path.read_bytes())
    content[7] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="missing or were altered"):
        data.test.read(issue(data.test.digest, 1, ""))
    next(images_dir().glob("*/development/depth.array")).unlink()
    again = prepare(config_of(photos), source=FolderSource(photos), fields=fields)
    assert (again.train.columns["depth"] == data.train.columns["depth"]).all()
    assert "decoded anew" in again.notes[-1]
