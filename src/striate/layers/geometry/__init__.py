"""Sizes, costs and receptive fields, by formula for one layer and by tracing for a network."""

from striate.layers.geometry.field import AxisField
from striate.layers.geometry.ledger import LayerRow, format_ledger, ledger, receptive_field
from striate.layers.window import Window

__all__ = ["AxisField", "LayerRow", "Window", "format_ledger", "ledger", "receptive_field"]
