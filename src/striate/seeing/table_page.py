"""The table of a network as an HTML page: blocks that unfold into their layers."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from striate.evaluation.report import environment
from striate.seeing.row import Row
from striate.seeing.table import Table
from striate.seeing.table_text import cells_of, heads_of, notes_of

__all__ = ["table_page"]


def table_page(networks: Sequence[tuple[str, Table, Sequence[str]]]) -> str:
    """A page that loads nothing, with a section for each network.

    Args:
        networks: Title, table and issues in words of each network.
    """
    page = environment().get_template("table.html.j2")
    sections = [
        {
            "title": title,
            "heads": heads_of(table),
            "rows": _nested(table),
            "total": cells_of(table.total, table),
            "notes": list(notes_of(table)),
            "issues": list(problems),
        }
        for title, table, problems in networks
    ]
    return page.render(title=" and ".join(title for title, *_ in networks), sections=sections)


def _nested(table: Table) -> Markup:
    """Rows of an HTML table; those inside a block are marked by it, so that a click folds them."""
    lines = []
    inside: list[tuple[int, str]] = []  # blocks that are open: where they stop, and their ids
    starts: dict[int, list[Any]] = {}
    for number, block in enumerate(table.blocks):
        starts.setdefault(block.start, []).append((block.stop, number, block.row))
    for index, row in enumerate(table.rows):
        inside = [(stop, own) for stop, own in inside if stop > index]
        for stop, number, block_row in sorted(starts.get(index, ()), key=lambda b: -b[0]):
            if stop - index > 1 and block_row.name:
                lines.append(_line(block_row, table, inside, f"b{number}"))
                inside = [*inside, (stop, f"b{number}")]
        lines.append(_line(row, table, inside, None))
    return Markup("\n").join(lines)


def _line(row: Row, table: Table, inside: list[tuple[int, str]], own: str | None) -> Markup:
    name, *cells = cells_of(row, table)
    label: Markup | str = name
    if own is not None:
        label = Markup('<button aria-expanded="true" data-block="{}">{}</button>').format(own, name)
    head = Markup('<th scope="row" style="padding-left:{}rem">{}</th>').format(len(inside), label)
    others = Markup("").join(Markup("<td>{}</td>").format(cell) for cell in cells)
    classes = " ".join(block for _, block in inside)
    return Markup('<tr data-inside="{}"{}>{}{}</tr>').format(
        classes, Markup(' class="block"') if own else "", head, others
    )
