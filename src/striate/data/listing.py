"""Images named by a CSV or JSON list: path, label and, if known, split."""

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from striate.data.layout import by_name, class_key, natural_key, split_named
from striate.data.source import Item, Listing, Source, read_file, read_text
from striate.data.spelling import enumerated, shown
from striate.errors import DataError

__all__ = ["LISTS", "ListSource"]

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
        columns = list(dict.fromkeys(column for _, row in rows for column in row))
        if missing := [name for name in ("path", "label") if name not in columns]:
            raise DataError(
                f"{self.path} has no column {' and no column '.join(missing)}; its columns are "
                f"{enumerated(columns)}. {_FORM}"
            )
        problems = []
        for where, row in rows:
            problems += [
                f"{where} has no {name}." for name in ("path", "label") if not row.get(name)
            ]
            split = row.get("split", "")
            if "split" in columns and split_named(split) is None:
                problems.append(f"{where}: the split {split!r} is none of train, validation, test.")
        labels = {row.get("label", "") for _, row in rows}
        folded: dict[str, str] = {}
        for name in sorted(labels):
            other = folded.setdefault(class_key(name), name)
            if other != name:
                problems.append(
                    f"The classes {other!r} and {name!r} differ only in letter case. Spell them "
                    "alike if they are one, further apart if they are two."
                )
        if not problems and len(labels) < 2:
            problems.append(
                f"{self.path} has {len(labels)} class(es); a classifier needs two or more."
            )
        if problems:
            more = [f"and {len(problems) - 10} more problems"] if len(problems) > 10 else []
            raise DataError("\n".join([f"{self.path}:", *problems[:10], *more, _FORM]))
        names = sorted(labels, key=natural_key)
        index = {name: label for label, name in enumerate(names)}
        folder = self.path.parent
        items, repeats = by_name(
            [
                Item(
                    row["path"],
                    index[row["label"]],
                    split_named(row.get("split", "")),
                    str(folder / row["path"]),
                    row.get("group") or None,
                )
                for _, row in rows
            ]
        )
        if not any(os.path.exists(item.key) for item in items):
            missing = [item.name for item in items]
            raise DataError(
                f"{self.path} lists {len(items)} files, and they do not exist: "
                f"{enumerated(missing, most=3)}. Paths are relative to the folder of the list, "
                f"{folder}."
            )
        return Listing(tuple(names), items, tuple(repeats))

    def _rows(self) -> list[tuple[str, dict[str, str]]]:
        """The rows, each with its position ("line 3") and its values by the lower-case column."""
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
        return [(f"entry {number}", _texts(row)) for number, row in enumerate(rows, 1)]

    def _csv_rows(self, text: str) -> list[tuple[str, dict[str, str]]]:
        body = text.lstrip("\r\n")
        above = _num_breaks(text[: len(text) - len(body)])
        header = body.splitlines()[0]
        # Spreadsheets write semicolons where the comma is the decimal sign.
        delimiter = max(",;\t", key=header.count)
        reader = csv.DictReader(io.StringIO(body, newline=""), delimiter=delimiter)
        rows = []
        try:
            for row in reader:
                # A row whose quoted values hold line breaks is known by its first line.
                breaks = sum(map(_num_breaks, row.values()))
                line = above + reader.line_num - breaks
                values = {key.strip().lower(): value for key, value in row.items() if key}
                rows.append((f"line {line}", _texts(values)))
        except csv.Error as error:
            raise DataError(
                f"{self.path}, line {above + reader.line_num}: {error}. {_FORM}"
            ) from error
        if not rows:
            raise DataError(
                f"{self.path} has one line, {shown(header)!r}, and no rows below it. {_FORM}"
            )
        return rows


def _num_breaks(value: str | list[str] | None) -> int:
    text = "".join(value) if isinstance(value, list) else value or ""
    return len(re.findall(r"\r\n|\r|\n", text))


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    return {key: "" if value is None else str(value).strip() for key, value in row.items()}
