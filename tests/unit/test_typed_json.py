import dataclasses
from collections.abc import Mapping

import pytest

from striate.errors import DataError
from striate.evaluation import Estimate, Proportion, Scaling, wilson
from striate.typed_json import JsonRecord


@dataclasses.dataclass(frozen=True)
class Table(JsonRecord):
    name: str
    shares: Mapping[int, Proportion]
    rows: tuple[tuple[int, ...], ...]
    mean: Estimate | None


def test_nested_records_survive_json():
    table = Table("a", {2: wilson(1, 7)}, ((1, 2), (3, 4)), Estimate(0.5))
    value = table.to_json()
    assert value["shares"]["2"]["value"] == 1 / 7
    assert value["rows"] == [[1, 2], [3, 4]]
    assert Table.from_json(value) == table


def test_fields_of_older_versions_are_none_where_they_may_be():
    value = Table("a", {}, (), Estimate(0.5)).to_json()
    del value["mean"]
    assert Table.from_json({**value, "later": 3}).mean is None
    del value["rows"]
    with pytest.raises(DataError, match="'rows' is missing"):
        Table.from_json(value)


def test_a_default_stands_for_no_number_that_was_kept():
    with pytest.raises(DataError, match=r"no Scaling: .*'weight' is missing"):
        Scaling.from_json({"format": 1})
