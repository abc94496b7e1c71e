"""Figures of matplotlib: made without a window, tidied, and written as PNG files."""

from pathlib import Path
from typing import Any

from striate.durable import write_with
from striate.errors import ConfigError


def new_figure(width: float, height: float) -> Any:
    """An empty figure of a size in inches, drawn by matplotlib's pixel renderer.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as missing:
        raise ConfigError(
            "A PNG or GIF needs matplotlib, which is not installed; "
            "type: pip install 'striate[pictures]'"
        ) from missing

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Any) -> None:
    """Draw faint grid lines and leave out the frame above and on the right."""
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def write_png(figure: Any, path: Path, *, dpi: int = 130) -> None:
    """Write a figure as a PNG file, whole or not at all."""
    write_with(path, lambda stream: figure.savefig(stream, format="png", dpi=dpi))
