"""A race as one web page that needs nothing else: choose a surface, play, drag, hide optimisers."""

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from striate.durable import write_bytes
from striate.errors import ConfigError
from striate.optim.picture import colours_of
from striate.optim.race import Race

PLACEHOLDER = "/*RACES*/null"
"""Text of the page that the data replace."""

RESOLUTION = 90
"""Cells of the map in each direction; the page draws between them."""


def draw_html(races: Sequence[Race], path: Path) -> None:
    """A self-contained HTML page of the races, for light and dark screens.

    Args:
        races: Races of `run_race`.
        path: Path of the file.

    Raises:
        ConfigError: no race.
    """
    if not races:
        raise ConfigError("There is no race to draw.")
    data = {"colours": colours_of(races), "races": [_encode(race) for race in races]}
    # "<" could end the script element early, were it in a name.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    page = files("striate.optim").joinpath("race.html").read_text(encoding="utf-8")
    write_bytes(path, page.replace(PLACEHOLDER, text).encode())


def _encode(race: Race) -> dict[str, Any]:
    heights = race.heights(RESOLUTION)
    heights = (heights - heights.min()) / (heights.max() - heights.min())
    return {
        "name": race.surface.name,
        "difficulty": race.surface.difficulty,
        "bounds": race.surface.bounds,
        "minima": race.surface.minima,
        "steps": race.num_steps,
        "size": RESOLUTION,
        "heights": (heights * 999).astype(int).ravel().tolist(),
        "tracks": [
            {
                "name": track.optimiser,
                "rate": f"{track.rate:.2g}",
                "points": [[round(x, 4), round(y, 4)] for x, y in track.points],
                "gaps": [float(f"{(v - race.lowest) / race.height:.3g}") for v in track.values],
                "values": [f"{value:.4g}" for value in track.values],
                "arrived": track.steps_to(race.goal),
            }
            for track in race.tracks
        ],
    }
