"""Rows of CSV text, each with the line on which it begins."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from striate.errors import DataError


class Row(NamedTuple):
    """A row of CSV text."""

    line: int
    """Number of its first line, from 1."""
    is_long: bool
    """Whether it goes on over further lines, within quotes."""
    cells: list[str]


def read_csv(path: Path, text: str, delimiter: str, form: str, above: int = 0) -> Iterator[Row]:
    """Rows of CSV text, empty lines among them.

    Args:
        path: Path of the file, for messages.
        text: Text of the file, or the end of it.
        delimiter: Sign between two values.
        form: Sentence on the form that is accepted.
        above: Number of lines of the file above the text.

    Raises:
        DataError: a quote is not closed, or is followed by more of its value.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begin = 1
    try:
        for cells in reader:
            yield Row(above + begin, reader.line_num > begin, cells)
            begin = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path}, line {above + begin}: {error}. A quote that opens a value must close it; a "
            f"quote within a value is written twice. {form}"
        ) from error
