"""The table of a network: output, cost and receptive field of each layer."""

from torch import nn

from striate.drawing.table import text_table
from striate.errors import ShapeError
from striate.layers.geometry.field import AxisField
from striate.layers.geometry.row import LayerRow
from striate.layers.geometry.trace import trace

__all__ = ["LayerRow", "format_ledger", "ledger", "receptive_field"]


def ledger(network: nn.Module, input_shape: tuple[int, ...]) -> list[LayerRow]:
    """A row for each layer that runs in evaluation mode, in the order of its call.

    A module that is no leaf has a row where it holds parameters or multiplies by itself.

    Args:
        network: Module that takes one tensor; nothing is computed and nothing changes.
        input_shape: Shape (C, *S), without the batch.

    Raises:
        ShapeError: an input that the network cannot take.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 5, stride=2), nn.ReLU(), nn.Conv2d(4, 2, 3))
        >>> [(row.multiply_adds, row.field_size) for row in ledger(network, (3, 11, 13))]
        [(6000, (5, 5)), (0, (5, 5)), (432, (9, 9))]
    """
    return trace(network, input_shape).steps


def receptive_field(network: nn.Module, input_shape: tuple[int, ...]) -> tuple[AxisField, ...]:
    """The receptive fields of a network's (first) output along each axis of the input.

    Branches are united: a residual sum or a concatenation sees what any of its parts sees.
    Statistics of normalisations are left out. A stretch may have holes (dilation, a stride
    beyond the kernel): its ends are exact.

    Args:
        network: Module that takes one tensor.
        input_shape: Shape (C, *S), without the batch.

    Raises:
        ShapeError: an input that the network cannot take, or an operation through which fields
            cannot be followed.

    Source: for chains, Araujo, Norris and Sim, Computing Receptive Fields of Convolutional
    Neural Networks (2019); K + P − 1 after a convolution of size K and a pooling of size P.

    Example:
        >>> network = nn.Sequential(nn.Conv1d(1, 1, 5), nn.MaxPool1d(2))
        >>> (field,) = receptive_field(network, (1, 20))
        >>> field.size, field.stride, field.centre, field.inside[1]
        (6, Fraction(2, 1), 2.5, (2, 7))
    """
    result = trace(network, input_shape)
    if result.output is None:
        raise ShapeError(
            f"The receptive field of {type(network).__name__} cannot be followed through "
            f"{result.lost_at or 'its input'}. Take a part of the network that ends before it."
        )
    return tuple(axis.field for axis in result.output)


def format_ledger(rows: list[LayerRow]) -> str:
    """The rows as a text table with totals.

    Example:
        >>> print(format_ledger(ledger(nn.Sequential(nn.Conv1d(2, 3, 5)), (2, 9))))
        layer  kind    output  parameters  multiply-adds  field  stride  centre
        0      Conv1d  3×5             33            150  5      1       2
        total                          33            150
    """
    head = ("layer", "kind", "output", "parameters", "multiply-adds", "field", "stride", "centre")
    table = [head, *(_cells(row) for row in rows)]
    parameters = sum(row.parameters for row in rows)
    multiply_adds = sum(row.multiply_adds for row in rows)
    table.append(("total", "", "", f"{parameters:,}", f"{multiply_adds:,}", "", "", ""))
    return text_table(table, "<<<>><")


def _cells(row: LayerRow) -> tuple[str, ...]:
    return (
        row.name or "·",
        row.kind,
        _times(row.output_shape),
        f"{row.parameters:,}",
        f"{row.multiply_adds:,}",
        _times(row.field_size),
        _times(row.field_stride),
        _times(row.field_centre),
    )


def _times(values: tuple[int | float, ...] | None) -> str:
    """7×9, or a dash when unknown."""
    return "–" if values is None else "×".join(f"{value:g}" for value in values)
