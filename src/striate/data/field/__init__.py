"""Fields: what an item holds beside its image, each kind in one file."""

from collections.abc import Mapping, Sequence
from typing import Any

from striate.data.field.boxes import Boxes
from striate.data.field.category import Category
from striate.data.field.field import PADDING, Column, Field, Finding, Loaded, take
from striate.data.field.labels import Labels
from striate.data.field.mask import Mask
from striate.data.field.points import Points
from striate.data.field.text import Text
from striate.data.field.value import Value
from striate.data.stratify import Membership

__all__ = [
    "FIELDS",
    "PADDING",
    "Boxes",
    "Category",
    "Column",
    "Field",
    "Finding",
    "Labels",
    "Loaded",
    "Mask",
    "Points",
    "Text",
    "Value",
    "field_from_json",
    "strata_of",
    "take",
]

FIELDS: dict[str, type[Field]] = {
    kind.kind: kind for kind in (Category, Labels, Value, Mask, Boxes, Points, Text)
}


def field_from_json(value: Mapping[str, Any]) -> Field:
    """The field that `Field.to_json` wrote."""
    arguments = {key: argument for key, argument in value.items() if key != "kind"}
    return FIELDS[value["kind"]](**arguments)


def strata_of(
    columns: Mapping[str, Column], fields: Mapping[str, Field], num_items: int
) -> tuple[Sequence[Membership], tuple[str, ...]]:
    """The groups that a split spreads evenly: an index for each item, and the groups' names.

    They come from the first field that has any; without one, all items are one group. No names:
    the groups may be absent from a split.
    """
    for name, field in fields.items():
        strata = field.strata(columns[name])
        if strata is not None:
            return strata
    return [0] * num_items, ("all images",)
