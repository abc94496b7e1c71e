"""The course of a training: gradients through the layers, and the weights, from the start on."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from striate.drawing import colour
from striate.seeing.flow import FlowRow, judge
from striate.seeing.gallery import Panel, Picture, file_name
from striate.seeing.subject import Subject

__all__ = ["flow", "weights"]

_NOT_WRITTEN = (
    "Nothing of it was written. Train with --set training.flow=true: at each validation the run "
    "then writes it down, and its weights stay the same to the bit."
)
_ROW, _COLUMN = 14, 28
"""Height of a layer and width of a moment in a picture, pixels."""
_DECADES = 6.0
"""Powers of ten that the scale of gradients holds."""
_MOST = 24
"""Layers whose weights are drawn."""


def flow(subject: Subject) -> Iterator[Panel]:
    """Gradient and activation norms of each layer over the training, with what is wrong."""
    title = "How gradients pass through the layers"
    moments = list(subject.moments)
    if not moments:
        yield Panel("flow", title, _NOT_WRITTEN)
        return
    rows = [[_row(row) for row in moment["rows"]] for moment in moments]
    layers = [row.layer for row in rows[0]]
    steps = [int(moment["step"]) for moment in moments]
    judged = judge(rows)
    notes = [
        f"{one.layer}: {one.verdict} (gradient {one.ratio:.2g} of the last layer's, "
        f"{one.zeros:.0%} of its outputs are 0)"
        for one in judged
        if one.verdict != "sound"
    ]
    pictures, arrays = [], {"steps": np.array(steps)}
    for name, words in (
        ("output_gradient", "gradient of the loss by its outputs (norm)"),
        ("activation", "outputs (mean square)"),
    ):
        values = np.array([[getattr(row, name) for row in moment] for moment in rows]).T
        arrays[name] = values
        pictures.append(Picture(_map(values), words))
    yield Panel(
        "flow",
        title,
        f"Each row is a layer, from {layers[0]} on top to {layers[-1]}; each column a moment, from "
        f"step {steps[0]:,} to step {steps[-1]:,}. Colours are powers of ten below the largest: "
        f"dark is a {10**_DECADES:,.0f}th of it, or nothing. "
        + ("What is not sound is listed." if notes else "All layers are sound."),
        notes=notes,
        pictures=pictures,
        wide=True,
        arrays=arrays,
    )


def weights(subject: Subject) -> Iterator[Panel]:
    """Histograms of the weights of each layer over the training."""
    title = "How the weights change"
    moments = list(subject.moments)
    if not moments:
        yield Panel("weights", title, _NOT_WRITTEN)
        return
    names = list(moments[0]["weights"])
    pictures, arrays = [], {}
    for name in names[:_MOST]:
        counts = np.array([moment["weights"][name] for moment in moments], float)
        shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
        low, high = moments[0]["edges"][name]
        arrays[file_name(name)] = counts
        drawn = colour.sizes(np.sqrt(shares.T[::-1]), float(np.sqrt(shares.max())))
        size = (3 * drawn.shape[0], _COLUMN * drawn.shape[1])
        pictures.append(
            Picture(colour.enlarged(drawn, size), f"{name}: {low:.2g} below to {high:.2g} on top")
        )
    left = f" The first {_MOST} of {len(names)} are drawn." if len(names) > _MOST else ""
    yield Panel(
        "weights",
        title,
        "Each picture is a layer, each column a moment of the training, from the first to the "
        "last; large weights are on top, zero in the middle, and what is outside of the scale at "
        f"its ends. Bright is where many of them lie (the root of their share).{left}",
        pictures=pictures,
        arrays=arrays,
    )


def _row(written: Mapping[str, Any]) -> FlowRow:
    """A row of the log, which has null where a number was not finite."""
    values = {**written}
    for name in ("activation", "output_gradient"):
        values[name] = math.inf if values[name] is None else values[name]
    return FlowRow(**values)


def _map(values: np.ndarray) -> np.ndarray:
    """Rows of numbers as colours by their powers of ten, grey where a number is not finite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        powers = np.log10(values)
    known = powers[np.isfinite(powers)]
    top = float(known.max()) if len(known) else 0.0
    shares = np.where(values == 0, 0.0, (powers - top) / _DECADES + 1)
    drawn = colour.sizes(shares.clip(0, 1), 1.0)
    rows, columns = values.shape
    return colour.enlarged(drawn, (_ROW * rows, max(_COLUMN, 560 // max(1, columns)) * columns))
