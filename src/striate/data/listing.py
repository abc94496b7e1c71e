"""A CSV or JSON list of images: path, label and, if known, split."""

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from striate.data.csv_text import read_csv
from striate.data.layout import DESCRIPTIONS
from striate.data.rows import COLUMNS, FILES, cell, read_rows, refuse_rows
from striate.data.source import Item, Listing, Source, file_state, read_file, read_text
from striate.data.spelling import enumerated, shown
from striate.errors import DataError
from striate.reading import read_bytes, reported_as

LISTS = (".csv", ".tsv", ".json")
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
_PLAIN = (*sorted(COLUMNS), *FILES, "labels")
"""Columns whose values in a JSON object are text or numbers."""
_SEPARATOR = re.compile(r'sep=([^\r\n"])(\r\n|\r|\n)', re.IGNORECASE)
"""First line by which spreadsheets tell each other how the values are separated."""
_PATHS = ("fname", "filename", "file_name", "file", "image", "name")
"""Other names of the column path, as tables of other systems have them."""
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
        """A digest of the list, and of the state of each file in it."""
        digest = hashlib.sha256(str(self.path.resolve()).encode("utf-8", "surrogateescape"))
        with reported_as(DataError, f"{self.path} cannot be read"):
            digest.update(read_bytes(self.path))
        further = [f for item in self.items for own in (item.files or {}).values() for f in own]
        for item in (*self.items, *further, *self.files):
            try:
                digest.update(f"{file_state(item.key)}\n".encode())
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
        """Refuse a list of which no file exists: it was most likely written in another folder.

        A path with line breaks that does not exist is rather a quote that was not closed.
        """
        long = [i for i in items if re.search(r"[\r\n]", i.name) and not os.path.exists(i.key)]
        lines = [shown(line) for line in self.where(long)] if long else []
        refuse_rows(
            self.origin, [f"{line} does not exist: close its quote." for line in lines], _FORM
        )
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
        known: dict[str, list[str]] = {item.name: [] for item in items}
        for position, row in zip(positions, rows, strict=True):
            known.get(cell(row, "path"), []).append(position)
        return [f"{', '.join(known[item.name])} ({item.name})" for item in items]

    def _rows(self) -> tuple[list[str], list[dict[str, Any]]]:
        """The rows, each with its position ("line 3")."""
        text = read_text(self.path)
        if not text.strip():
            raise DataError(f"{self.path} is empty. {_FORM}")
        json_list = self.path.suffix.lower() == ".json"
        positions, rows = self._json_rows(text) if json_list else self._csv_rows(text)
        rows = _as_ours(rows)
        for row in rows:
            for key in ("path", *FILES):
                name = row.get(key)
                if isinstance(name, str) and ("\\" in name or not name.isascii()):
                    row[key] = self._on_disk(name.strip())
        return positions, rows

    def _on_disk(self, name: str) -> str:
        """A path as the disk spells it: lists from elsewhere have backslashes, or letters and
        their accents as one character where the disk has two."""
        slashes = name.replace("\\", "/")
        forms = (unicodedata.normalize(form, slashes) for form in ("NFC", "NFD"))
        spellings = (name, slashes, *forms)
        return next((s for s in spellings if os.path.exists(self.path.parent / s)), name)

    def _json_rows(self, text: str) -> tuple[list[str], list[dict[str, Any]]]:
        with reported_as(DataError, f"{self.path} is no JSON", _FORM):
            rows = json.loads(
                text,
                object_pairs_hook=self._object,
                parse_constant=lambda name: None if name == "NaN" else float(name),
            )
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DataError(f"{self.path} is not a list of objects. {_FORM}")
        if not rows:
            raise DataError(f"{self.path} is an empty list. {_FORM}")
        positions = [f"entry {number}" for number in range(1, len(rows) + 1)]
        problems = [
            f"{position}: {problem}"
            for position, row in zip(positions, rows, strict=True)
            for problem in _type_problems(row)
        ]
        refuse_rows(self.origin, problems, _FORM)
        return positions, rows

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        row = dict(pairs)
        if len(row) < len(pairs):
            names = [name for name, _ in pairs]
            twice = max(names, key=names.count)
            raise DataError(
                f"{self.path}: an object has the key {twice!r} twice: {shown(str(row))}."
            )
        return row

    def _csv_rows(self, text: str) -> tuple[list[str], list[dict[str, Any]]]:
        body = text.lstrip("\r\n")
        separator = _SEPARATOR.match(body)
        body = body[separator.end() :] if separator else body
        above = len(re.findall(r"\r\n|\r|\n", text[: len(text) - len(body)]))
        header = next(iter(body.splitlines()), "")
        # Spreadsheets write semicolons where the comma is the decimal sign.
        delimiter = separator[1] if separator else max(_DELIMITERS, key=header.count)
        columns: list[str] = []
        positions: list[str] = []
        rows: list[dict[str, Any]] = []
        problems: list[str] = []
        for line, is_long, cells in read_csv(self.path, body, delimiter, _FORM, above):
            # A row whose quoted values hold line breaks is known by its first line.
            position = f"line {line}"
            if not columns:
                columns = self._columns(cells)
            elif cells:
                row: dict[str, Any] = dict(zip(columns, cells, strict=False))
                if len(cells) != len(columns):
                    row = {**dict.fromkeys(columns), **row}
                    problems += _cell_problems(position, cells, len(columns), delimiter)
                problems += self._swallowed(position, row, delimiter) if is_long else []
                positions.append(position)
                rows.append(_decimal_point(row) if delimiter == ";" else row)
        refuse_rows(self.origin, problems, _FORM)
        if not rows:
            raise DataError(
                f"{self.path} has one line, {shown(header)!r}, and no rows below it. {_FORM}"
            )
        return positions, rows

    def _columns(self, header: Sequence[str]) -> list[str]:
        columns = [name.strip().lower() for name in header]
        if twice := [name for name in dict.fromkeys(columns) if name and columns.count(name) > 1]:
            raise DataError(
                f"{self.path} has the column {enumerated(twice)} twice; its columns are "
                f"{enumerated(columns)}. Leave one, or call them differently."
            )
        return columns

    def _swallowed(self, position: str, row: Mapping[str, Any], delimiter: str) -> list[str]:
        """A sentence on a value that holds the row of another image, as after a stray quote."""
        names = list(row)
        column = next((names.index(name) for name in ("path", *_PATHS) if name in row), 0)
        for key, value in row.items():
            for line in (value or "").splitlines()[1:]:
                name = (line.split(delimiter) + [""] * column)[column].strip()
                if name and os.path.isfile(self.path.parent / name):
                    return [
                        f"{position}: its {key} holds the row of {shown(name)}: close its quote."
                    ]
        return []


def _as_ours(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with our names of columns, where they have those of other systems: fname, is_valid."""
    columns = {key: None for row in rows for key in row}
    own = next((name for name in _PATHS if name in columns), None)
    if own is None or "path" in columns:
        return rows
    renamed = [{"path" if key == own else key: row[key] for key in row} for row in rows]
    if "is_valid" in columns and "split" not in columns:
        for row in renamed:
            is_valid = str(row.pop("is_valid", "")).strip().lower() in ("true", "1")
            row["split"] = "validation" if is_valid else "train"
    return renamed


def _cell_problems(
    position: str, cells: Sequence[str], num_columns: int, delimiter: str
) -> list[str]:
    if not any(cell.strip() for cell in cells[num_columns:]):
        return []
    sign = _DELIMITERS.get(delimiter, delimiter)
    return [
        f"{position}: {len(cells)} values for {num_columns} columns. Put a value that holds a "
        f"{sign} in quotes."
    ]


def _type_problems(row: Mapping[str, Any]) -> list[str]:
    """Sentences on values of a JSON object that are neither text nor numbers."""
    problems = []
    for key in _PLAIN:
        value = row.get(key)
        is_list = isinstance(value, list) and key in ("label", "labels")
        inner: list[Any] = list(value or ()) if is_list else [value]
        if value is not None and not all(isinstance(each, (str, int, float)) for each in inner):
            accepted = "text, a number or a list of such" if "label" in key else "text or a number"
            text = json.dumps(value, ensure_ascii=False)
            problems.append(f"{key} is {shown(text[:80])}; accepted: {accepted}.")
    return problems


def _decimal_point(row: dict[str, Any]) -> dict[str, Any]:
    for key, value in row.items():
        if key != "path" and re.fullmatch(r"\s*[+-]?\d+,\d+\s*", value or ""):
            row[key] = value.replace(",", ".")
    return row
