"""A CSV or JSON list of images: path, label and, if known, split."""

import csv
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from striate.data.layout import by_name, class_key, natural_key, split_named
from striate.data.source import Item, Listing, Source, Split, read_file
from striate.errors import DataError

__all__ = ["LISTS", "ListSource"]

LISTS = (".csv", ".tsv", ".json")
_FORM = (
    "Expected the columns path,label and perhaps split (train, validation, test) in a CSV file "
    'with a header, or a JSON list of {"path": ..., "label": ..., "split": ...}.'
)


class ListSource(Source):
    """Images named by a list; paths are relative to the folder of the list."""

    def __init__(self, path: str | os.PathLike[str], title: str | None = None) -> None:
        self.path = Path(path)
        self.title = title or self.path.stem
        self.origin = str(self.path)

    def fingerprint(self) -> str:
        """A digest of the list, and of size and time of change of each file in it."""
        digest = hashlib.sha256(str(self.path.resolve()).encode("utf-8", "surrogateescape"))
        digest.update(self.path.read_bytes())
        for item in self.items:
            try:
                status = os.stat(item.key)
                digest.update(f"{status.st_size} {status.st_mtime_ns}\n".encode())
            except OSError:
                digest.update(b"?\n")
        return digest.hexdigest()

    def read(self, item: Item, limit: int | None = None) -> bytes:
        """The file's bytes, or the first `limit` of them."""
        return read_file(item.key, limit)

    def _list(self) -> Listing:
        rows = self._rows()
        problems: list[str] = []
        for number, row in enumerate(rows, 1):
            problems += _row_problems(number, row, any("split" in r for r in rows))
        labels = {str(row.get("label", "")).strip() for row in rows}
        folded: dict[str, str] = {}
        for name in sorted(labels):
            if class_key(name) in folded:
                problems.append(
                    f"The classes {folded[class_key(name)]!r} and {name!r} differ only in letter "
                    "case. Spell them alike if they are one, further apart if they are two."
                )
            folded[class_key(name)] = name
        if not problems and len(labels) < 2:
            problems.append(
                f"{self.path} has {len(labels)} class(es); a classifier needs two or more."
            )
        if problems:
            more = [f"and {len(problems) - 10} more problems"] if len(problems) > 10 else []
            raise DataError("\n".join([f"{self.path}:", *problems[:10], *more, _FORM]))
        names = sorted(labels, key=natural_key)
        index = {name: label for label, name in enumerate(names)}
        items = [self._item(row, index) for row in rows]
        unique = by_name(items)
        notes = []
        if len(unique) < len(items):
            notes.append(f"{len(items) - len(unique)} path(s) are listed more than once.")
        return Listing(tuple(names), unique, tuple(notes))

    def _item(self, row: Mapping[str, Any], index: Mapping[str, int]) -> Item:
        name = str(row["path"]).strip()
        split: Split | None = split_named(str(row.get("split") or "").strip())
        return Item(name, index[str(row["label"]).strip()], split, str(self.path.parent / name))

    def _rows(self) -> list[Mapping[str, Any]]:
        try:
            text = self.path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self.path} cannot be read: {error}. {_FORM}") from error
        if self.path.suffix.lower() != ".json":
            header = text.partition("\n")[0]
            # Spreadsheets write semicolons where the comma is the decimal sign.
            delimiter = max(",;\t", key=header.count)
            return [_lower(row) for row in csv.DictReader(text.splitlines(), delimiter=delimiter)]
        try:
            rows = json.loads(text)
        except ValueError as error:
            raise DataError(f"{self.path} is no JSON: {error}. {_FORM}") from error
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DataError(f"{self.path} is not a list of objects. {_FORM}")
        return rows


def _lower(row: Mapping[str | None, Any]) -> dict[str, Any]:
    return {str(key).strip().lower(): value for key, value in row.items() if key is not None}


def _row_problems(number: int, row: Mapping[str, Any], with_split: bool) -> list[str]:
    problems = [
        f"row {number} has no {column}."
        for column in ("path", "label")
        if not str(row.get(column) if row.get(column) is not None else "").strip()
    ]
    split = str(row.get("split") or "").strip()
    if with_split and split_named(split) is None:
        problems.append(f"row {number}: the split {split!r} is none of train, validation, test.")
    return problems
