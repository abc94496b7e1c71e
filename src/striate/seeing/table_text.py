"""The table of a network as text, as CSV, and two of them side by side."""

import csv
import io
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import Any

from striate.drawing.table import text_table
from striate.seeing.row import Row
from striate.seeing.table import Table

__all__ = ["comparison_text", "paired", "table_csv", "table_text"]

_HEAD = (
    "layer", "kind", "output", "parameters", "multiply-adds", "field", "stride", "centre",
    "status", "kept",
)  # fmt: skip
_MEASURED = ("ms forward", "ms backward", "GFLOP/s", "FLOP/byte", "of peak", "limit")


def table_text(table: Table, *, depth: int = 0) -> str:
    """The table as aligned text, with totals and what is to be known of them.

    Args:
        table: Table of a network.
        depth: Names in the path at which modules are folded; 0: a line for each layer.
    """
    rows = (*table.folded(depth), table.total)
    lines = [heads_of(table), *(cells_of(row, table) for row in rows)]
    align = "<<<>><<<<>" if table.forward is None else "<<<>><<<<>>>>>><"
    return "\n".join([text_table(lines, align), "", *notes_of(table)])


def heads_of(table: Table) -> tuple[str, ...]:
    """The heads of the columns."""
    return _HEAD if table.forward is None else _HEAD + _MEASURED


def cells_of(row: Row, table: Table) -> tuple[str, ...]:
    """A row, or the total, as words for people."""
    is_total = row.name == "total"
    seen = ("", "", "", "") if is_total else _seen(row)
    cells = (
        row.name or "·",
        "" if is_total else row.kind,
        "" if is_total else _output(row),
        _short(row.parameters),
        _short(row.multiply_adds) + " + ?" * bool(row.uncounted),
        *seen,
        _bytes(row.kept_bytes),
    )
    return cells if table.forward is None else cells + _times(row)


def _seen(row: Row) -> tuple[str, ...]:
    """Field, stride, centre and status."""
    values = (row.field, row.stride, row.centre)
    return (*map(_times_sign, values), row.status or "–")


def _times(row: Row) -> tuple[str, ...]:
    return (
        _milliseconds(row.forward),
        _milliseconds(row.backward),
        f"{row.flop_per_second / 1e9:.3g}" if row.flop_per_second else "",
        f"{row.flop_per_byte:.3g}" if row.flop_per_byte else "",
        f"{100 * row.share:.0f} %" if row.share is not None else "",
        row.limit or "",
    )


def notes_of(table: Table) -> Iterable[str]:
    """Sentences on what the columns mean, and the totals."""
    total = table.total
    yield (
        f"{total.parameters:,} parameters, {total.multiply_adds:,} multiply-adds for one image "
        "(1 multiply-add, MAC, = 2 FLOP); bytes and times are those of a batch of "
        f"{table.batch_size}."
    )
    if table.parameters > total.parameters:
        rest = table.parameters - total.parameters
        yield f"{rest:,} further parameters belong to modules that do not run in evaluation."
    yield (
        f"Kept for the backward pass: {_bytes(total.kept_bytes)}, "
        f"{_bytes(table.kept_between)} of it between layers."
    )
    if total.uncounted:
        yield f"Not counted, because nobody knows their cost: {', '.join(total.uncounted)}."
    if table.peak is not None:
        peak = table.peak
        yield (
            f"Peak of {peak.device} with {peak.threads} thread(s): "
            f"{peak.flop_per_second / 1e9:.3g} GFLOP/s (matrix product), "
            f"{peak.bytes_per_second / 1e9:.3g} GB/s (copy)."
        )
    if table.forward is not None:
        columns = (
            ("Forward", total.least_forward, total.forward, table.forward),
            ("Backward", total.least_backward, total.backward, table.backward),
        )
        for name, least, layers, whole in columns:
            yield (
                f"{name}: {_milliseconds(least) or '–'} ms predicted at the peak, "
                f"{_milliseconds(layers) or '–'} ms measured layer by layer, "
                f"{_milliseconds(whole) or '–'} ms as a whole."
            )


def table_csv(table: Table, *, depth: int = 0) -> str:
    """The rows as CSV with a head and full numbers: bytes, seconds, FLOP; no totals.

    Args:
        table: Table of a network.
        depth: Names in the path at which modules are folded; 0: a line for each layer.
    """
    records = [_flat(row) for row in table.folded(depth)]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return stream.getvalue()


def _flat(row: Row) -> dict[str, Any]:
    """One cell for each value: sizes along several axes with × between them."""
    values = row.to_json()
    axes, shape = values.pop("axes"), values.pop("shape")
    unread = values.pop("unread")
    flat = {
        "output": "×".join(map(str, shape)),
        "axes": "×".join(axis or "?" for axis in axes),
        "unread": "×".join(str(axis["count"]) for axis in unread),
    }
    for name, value in values.items():
        if isinstance(value, list):
            sign = " " if name == "uncounted" else "×"
            value = sign.join(f"{v:g}" if isinstance(v, float) else str(v) for v in value)
        flat[name] = "" if value is None else value
    order = ("name", "kind", "layers", "output", "axes")
    return {name: flat[name] for name in (*order, *(key for key in flat if key not in order))}


def paired(first: Sequence[Row], second: Sequence[Row]) -> list[tuple[Row | None, Row | None]]:
    """Rows of two networks side by side: those of the same name and kind face each other.

    Args:
        first: Rows of one network.
        second: Rows of the other one.
    """
    left, right = ([(row.name, row.kind) for row in rows] for rows in (first, second))
    pairs: list[tuple[Row | None, Row | None]] = []
    for kind, a, b, c, d in SequenceMatcher(a=left, b=right, autojunk=False).get_opcodes():
        if kind == "equal":
            pairs += zip(first[a:b], second[c:d], strict=True)
        else:
            pairs += [(row, None) for row in first[a:b]]
            pairs += [(None, row) for row in second[c:d]]
    return pairs


def comparison_text(first: Table, second: Table, *, depth: int = 1) -> str:
    """Two networks side by side as aligned text.

    Args:
        first: Table of one network.
        second: Table of the other one.
        depth: Names in the path at which modules are folded; 0: a line for each layer.
    """
    is_measured = first.forward is not None and second.forward is not None
    times = ("ms forward", "ms backward") * is_measured
    names = ("output", "parameters", "multiply-adds", "field", "kept", *times)
    lines = [("layer", *(f"{name} {side}" for name in names for side in "AB"))]
    pairs = paired(first.folded(depth), second.folded(depth))
    for pair in (*pairs, (first.total, second.total)):
        one = next(row for row in pair if row is not None)
        cells = [_side(row, is_measured) for row in pair]
        lines.append(
            (one.name or "·", *(cell for both in zip(*cells, strict=True) for cell in both))
        )
    sides = zip("AB", (first, second), strict=True)
    notes = [f"{side}: {t.network}, images {_times_sign(t.input_shape, True)}" for side, t in sides]
    return "\n".join([text_table(lines, "<<<>>>><<>"), "", *notes])


def _side(row: Row | None, is_measured: bool) -> tuple[str, ...]:
    if row is None:
        return ("",) * (7 if is_measured else 5)
    is_total = row.name == "total"
    cells = (
        "" if is_total else _output(row),
        _short(row.parameters),
        _short(row.multiply_adds) + " + ?" * bool(row.uncounted),
        "" if is_total else _times_sign(row.field),
        _bytes(row.kept_bytes),
    )
    return cells + (_milliseconds(row.forward), _milliseconds(row.backward)) * is_measured


def _output(row: Row) -> str:
    """C64 H56 W56."""
    return " ".join(f"{axis}{size}" for axis, size in zip(row.axes, row.shape, strict=True))


def _short(count: int) -> str:
    """Three digits and a prefix of a thousand; all digits below ten thousand."""
    if count < 10_000:
        return f"{count:,}"
    return _scaled(count)


def _bytes(count: int) -> str:
    return f"{_scaled(count)}B" if count >= 1000 else f"{count} B"


def _scaled(count: int) -> str:
    """1.23 M.

    Example:
        >>> _scaled(1_234_567), _scaled(999_999), _scaled(12_345_678_901)
        ('1.23 M', '1.00 M', '12.3 G')
    """
    for unit, sign in ((10**3, "k"), (10**6, "M"), (10**9, "G"), (10**12, "T")):
        value = count / unit
        if value < 999.5 or sign == "T":
            break
    return f"{value:#.3g} {sign}".replace(". ", " ")


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{1e3 * seconds:.3g}"


def _times_sign(values: Sequence[float] | None, is_full: bool = False) -> str:
    """7×9, or a single number where all are the same; a dash when unknown."""
    if values is None:
        return "–"
    spelled = [f"{value:g}" for value in values]
    return spelled[0] if len(set(spelled)) == 1 and not is_full else "×".join(spelled)
