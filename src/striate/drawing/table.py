"""Tables as aligned text."""

from collections.abc import Sequence


def text_table(rows: Sequence[Sequence[str]], align: str = "<>") -> str:
    """Rows of cells as lines with aligned columns, two spaces apart.

    Args:
        rows: Rows of equally many cells; the head is a row like the others.
        align: Side of each column: "<" left, ">" right; the last one holds for all that follow.

    Example:
        >>> print(text_table([("cell", "norm"), ("gru", "0.25")]))
        cell  norm
        gru   0.25
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = align.ljust(len(widths), align[-1])
    return "\n".join("  ".join(map("{:{}{}}".format, row, sides, widths)).rstrip() for row in rows)
