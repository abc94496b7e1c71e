"""Pictures of a race: trajectories over contours as PNG, the same moving as GIF."""

import io
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from striate.drawing.figure import new_figure, tidy, write_png
from striate.durable import write_bytes
from striate.errors import ConfigError
from striate.optim.race import Race, Track

COLOURS = (
    "#d62728", "#1f77b4", "#2ca02c", "#ff7f0e", "#9467bd", "#17becf", "#e377c2",
    "#8c564b", "#111111", "#bcbd22", "#0047ab", "#b5179e", "#006d5b", "#a16207",
)  # fmt: skip
"""One per optimiser, in the order of the names; distinct on a pale ground."""


def draw_png(races: Sequence[Race], path: Path) -> None:
    """A PNG: for one race a panel per optimiser and the values over the steps; for several a row
    each, all the tracks on one map beside their values.

    Args:
        races: Races of `run_race`; the optimisers may differ between them.
        path: Path of the file.

    Raises:
        ConfigError: no race.
    """
    if not races:
        raise ConfigError("There is no race to draw.")
    write_png(_panels(races[0]) if len(races) == 1 else _rows(races), path)


def draw_gif(race: Race, path: Path, *, num_frames: int = 60, per_second: int = 12) -> None:
    """A GIF of one race: all the tracks growing over the map, and their values beside it.

    Args:
        race: Race of `run_race`.
        path: Path of the file.
        num_frames: Largest number of frames; steps are spread evenly over them.
        per_second: Frames per second. The last frame stays for two seconds.
    """
    from PIL import Image

    palette = _palette()
    frames = []
    for pixels in _frames(race, min(num_frames, race.num_steps)):
        image = Image.fromarray(pixels)
        frames.append(image.quantize(palette=palette, dither=Image.Dither.NONE))
    stream = io.BytesIO()
    durations = [1000 // per_second] * (len(frames) - 1) + [2000]
    frames[0].save(
        stream, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0
    )
    write_bytes(path, stream.getvalue())


def _frames(race: Race, count: int) -> Iterator[np.ndarray]:
    """Pixels of each frame: what stays is drawn once, what moves is drawn over it."""
    colours = colours_of([race])
    figure = new_figure(10.5, 5.0)
    chart, curve = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _map(chart, race)
    _curves(curve, race, colours, with_lines=False)
    chart.plot(*race.surface.start, "o", color="white", markeredgecolor="black", markersize=5)
    _legend(figure, colours)
    title = chart.set_title(f"{race.surface.name}, step {race.num_steps}", loc="left")
    title.set_animated(True)
    moving = []
    for track in race.tracks:
        style = {"color": colours[track.optimiser], "animated": True}
        (way,) = chart.plot([], [], linewidth=1.4, **style)
        (point,) = chart.plot([], [], "o", markeredgecolor="black", markersize=6, **style)
        (line,) = curve.plot([], [], linewidth=1.4, **style)
        moving.append((np.array(track.points), _gaps(race, track), way, point, line))
    canvas = figure.canvas
    canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)
    for step in np.unique(np.linspace(0, race.num_steps, count + 1).astype(int)):
        canvas.restore_region(still)
        title.set_text(f"{race.surface.name}, step {step}")
        chart.draw_artist(title)
        for points, gaps, way, point, line in moving:
            way.set_data(*points[: step + 1].T)
            point.set_data(*points[: step + 1][-1:].T)
            line.set_data(np.arange(len(gaps[: step + 1])), gaps[: step + 1])
            chart.draw_artist(way)
            chart.draw_artist(point)
            curve.draw_artist(line)
        yield np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _palette() -> Any:
    """All greys that the map needs, and each track's colour as it fades into white.

    A palette taken from the frames themselves is nearly all grey: tracks are few pixels.
    """
    from PIL import Image

    greys = [(level, level, level) for level in range(0, 256, 3)]
    faded = [
        tuple(round(255 - share * (255 - int(colour[i : i + 2], 16))) for i in (1, 3, 5))
        for colour in (*COLOURS, "#f5b301")
        for share in (0.15, 0.3, 0.45, 0.6, 0.75, 0.88, 1.0)
    ]
    image = Image.new("P", (1, 1))
    image.putpalette([level for entry in (*greys, *faded) for level in entry])
    return image


def _panels(race: Race) -> Any:
    """One panel per optimiser, best first, and one with all the values."""
    colours = colours_of([race])
    columns = min(4, len(race.tracks) + 1)
    rows = -(-(len(race.tracks) + 1) // columns)
    figure = new_figure(3.4 * columns, 3.0 * rows + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, track in zip(grid, race.tracks, strict=False):
        _map(axes, race)
        _trace(axes, track, colours[track.optimiser])
        axes.set_title(f"{track.optimiser}   η = {track.rate:.2g}", loc="left", fontsize=10)
        arrived = track.steps_to(race.goal)
        note = f"{track.values[-1]:.2g}" + ("" if arrived is None else f", reached at {arrived}")
        axes.text(
            0.03, 0.03, note, transform=axes.transAxes, fontsize=8,
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 2},
        )  # fmt: skip
        axes.set_xticks([])
        axes.set_yticks([])
    _curves(grid[len(race.tracks)], race, colours)
    for axes in grid[len(race.tracks) + 1 :]:
        axes.set_visible(False)
    figure.suptitle(
        f"{race.surface.name}: {race.num_steps} steps, each optimiser at its best rate. "
        f"{race.surface.difficulty}",
        x=0.01, ha="left", fontsize=11,
    )  # fmt: skip
    return figure


def _rows(races: Sequence[Race]) -> Any:
    """One row per surface: the map with all the tracks, and the values."""
    colours = colours_of(races)
    figure = new_figure(11.0, 3.9 * len(races) + 0.8)
    grid = figure.subplots(len(races), 2, squeeze=False, width_ratios=(1.15, 1))
    for (chart, curve), race in zip(grid, races, strict=True):
        _map(chart, race)
        for track in race.tracks:
            _trace(chart, track, colours[track.optimiser])
        chart.set_title(race.surface.name, loc="left", fontweight="bold")
        _curves(curve, race, colours)
        curve.set_title(race.surface.difficulty, loc="left", fontsize=8.5, color="#444444")
    _legend(figure, colours)
    return figure


def colours_of(races: Sequence[Race]) -> dict[str, str]:
    """The colour of each optimiser of some races."""
    names = sorted({track.optimiser for race in races for track in race.tracks})
    return dict(zip(names, cycle(COLOURS), strict=False))


def _map(axes: Any, race: Race) -> None:
    """Contours at even steps of log (value − minimum), pale, so that the tracks stand out."""
    left, right, bottom, top = race.surface.bounds
    heights = race.heights(120)
    x = np.linspace(left, right, heights.shape[1])
    y = np.linspace(bottom, top, heights.shape[0])
    axes.contourf(x, y, heights, levels=18, cmap="Greys", alpha=0.32)
    axes.contour(x, y, heights, levels=18, colors="#8896a5", linewidths=0.4)
    for minimum in race.surface.minima:
        axes.plot(*minimum, marker="*", color="#f5b301", markeredgecolor="#5f4700", markersize=11)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.tick_params(labelsize=8)


def _trace(axes: Any, track: Track, colour: str) -> None:
    x, y = np.array(track.points).T
    axes.plot(x, y, color=colour, linewidth=1.4, alpha=0.9)
    axes.plot(x, y, ".", color=colour, markersize=2.5, alpha=0.7)
    axes.plot(x[0], y[0], "o", color="white", markeredgecolor="black", markersize=5)
    axes.plot(x[-1], y[-1], "o", color=colour, markeredgecolor="black", markersize=6)


def _curves(axes: Any, race: Race, colours: dict[str, str], with_lines: bool = True) -> None:
    for track in race.tracks if with_lines else ():
        axes.plot(_gaps(race, track), color=colours[track.optimiser], linewidth=1.4)
    axes.set_yscale("log")
    axes.set_ylim(7e-7, 10)
    axes.set_xlim(0, race.num_steps)
    axes.axhline(0.01, color="#777777", linewidth=0.8, linestyle=":")
    axes.set_xlabel("step", fontsize=8)
    axes.set_ylabel("height left (share)", fontsize=8)
    axes.tick_params(labelsize=8)
    tidy(axes)


def _gaps(race: Race, track: Track) -> np.ndarray:
    """Share of the height that is left after each step, 1e-6 at the least."""
    shares: np.ndarray = (np.array(track.values) - race.lowest) / race.height
    return shares.clip(min=1e-6)


def _legend(figure: Any, colours: dict[str, str]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colour, linewidth=3) for colour in colours.values()]
    figure.legend(
        handles, list(colours), loc="outside lower center", ncols=min(5, len(colours)),
        frameon=False, fontsize=9,
    )  # fmt: skip
