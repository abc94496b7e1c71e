"""A CSV or JSON list of images: path, label and, if known, split."""

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from striate.data.layout import DESCRIPTIONS
from striate.data.rows import COLUMNS, cell, read_rows
from striate.data.source import Item, Listing, Source, read_file, read_text
from striate.data.spelling import enumerated, shown
from striate.errors import DataError

LISTS = (".csv", ".tsv", ".json")
_FORM = (
    "Expected the columns path,label and perhaps split (train, validation, test) and group in a "
    'CSV file with a header, or a JSON list of {"path": ..., "label": ..., "split": ...}.'
)


class ListSource(Source):
    """Images named by a list; paths are relative to the folder of the list."""

    random_access = True

    def __init__(self, path: str | os.PathLike[str], title: str | None = None) -> None:
        self.path = Path(path)
        self.title = title or shown(self.path.stem)
        self.origin = str(self.path)

    def fingerprint(self) -> str:
        """A digest of the list, and of size and time of change of each file in it."""
        digest = hashlib.sha256(str(self.path.resolve()).encode("utf-8", "surrogateescape"))
        digest.update(self.path.read_bytes())
        further = [f for item in self.items for own in (item.files or {}).values() for f in own]
        for item in (*self.items, *further, *self.files):
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
        positions, rows = self._rows()
        self._check_columns(rows)
        listing = read_rows(
            self.origin, positions, rows, lambda name: str(self.path.parent / name), _FORM
        )
        self._check_paths(listing.items)
        masked = any(item.files for item in listing.items)
        described = [
            Item(name, 0, None, str(self.path.parent / name))
            for name in DESCRIPTIONS
            if masked and (self.path.parent / name).is_file()
        ]
        return listing._replace(files=tuple(described))

    def _check_columns(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Refuse a list of other columns by its header, not once for each row."""
        columns = list(dict.fromkeys(key for row in rows for key in row))
        tasks_own = "path" in columns and set(columns) - COLUMNS
        needed = ("path",) if tasks_own else ("path", "label")
        missing = [name for name in needed if name not in columns]
        if missing:
            raise DataError(
                f"{self.path} has no column {' and no column '.join(missing)}; its columns are "
                f"{enumerated(columns)}. {_FORM}"
            )

    def _check_paths(self, items: Sequence[Item]) -> None:
        """Refuse a list of which no file exists: it was most likely written in another folder."""
        further = [
            file for item in items for files in (item.files or {}).values() for file in files
        ]
        for listed in (items, further):
            if listed and not any(os.path.exists(item.key) for item in listed):
                names = enumerated([item.name for item in listed], most=3)
                raise DataError(
                    f"{self.path} lists {len(listed)} files, and they do not exist: {names}. Paths "
                    f"are relative to the folder of the list, {self.path.parent}."
                )

    def where(self, items: Sequence[Item]) -> list[str]:
        """The lines or entries of items, each with its name."""
        positions, rows = self._rows()
        known = {cell(row, "path"): position for position, row in zip(positions, rows, strict=True)}
        return [f"{known.get(item.name, '')} ({item.name})" for item in items]

    def _rows(self) -> tuple[list[str], list[Mapping[str, Any]]]:
        """The rows, each with its position ("line 3")."""
        text = read_text(self.path)
        if not text.strip():
            raise DataError(f"{self.path} is empty. {_FORM}")
        if self.path.suffix.lower() != ".json":
            return self._csv_rows(text)
        try:
            rows = json.loads(text)
        except ValueError as error:
            raise DataError(f"{self.path} is no JSON: {error}. {_FORM}") from error
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DataError(f"{self.path} is not a list of objects. {_FORM}")
        if not rows:
            raise DataError(f"{self.path} is an empty list. {_FORM}")
        return [f"entry {number}" for number in range(1, len(rows) + 1)], rows

    def _csv_rows(self, text: str) -> tuple[list[str], list[Mapping[str, Any]]]:
        body = text.lstrip("\r\n")
        above = _num_breaks(text[: len(text) - len(body)])
        header = body.splitlines()[0]
        # Spreadsheets write semicolons where the comma is the decimal sign.
        delimiter = max(",;\t", key=header.count)
        reader = csv.DictReader(io.StringIO(body, newline=""), delimiter=delimiter)
        positions: list[str] = []
        rows: list[Mapping[str, Any]] = []
        try:
            for row in reader:
                # A row whose quoted values hold line breaks is known by its first line.
                breaks = sum(_num_breaks(value) for value in row.values())
                positions.append(f"line {above + reader.line_num - breaks}")
                rows.append(_lower(row, decimal_comma=delimiter == ";"))
        except csv.Error as error:
            raise DataError(
                f"{self.path}, line {above + reader.line_num}: {error}. {_FORM}"
            ) from error
        if not rows:
            raise DataError(
                f"{self.path} has one line, {shown(header)!r}, and no rows below it. {_FORM}"
            )
        return positions, rows


def _num_breaks(value: str | list[str] | None) -> int:
    text = "".join(value) if isinstance(value, list) else value or ""
    return len(re.findall(r"\r\n|\r|\n", text))


def _lower(row: Mapping[str | None, Any], *, decimal_comma: bool = False) -> dict[str, Any]:
    lower = {str(key).strip().lower(): value for key, value in row.items() if key is not None}
    if decimal_comma:
        for key, value in lower.items():
            if key != "path" and re.fullmatch(r"\s*[+-]?\d+,\d+\s*", value or ""):
                lower[key] = value.replace(",", ".")
    return lower
