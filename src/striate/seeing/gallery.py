"""A gallery: one page that loads nothing, with the pictures as PNG files and the raw maps aside."""

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from striate import durable
from striate.drawing.picture import gif, png, thumbnail_uri, uri_of
from striate.errors import ConfigError
from striate.evaluation.report import environment

__all__ = ["Panel", "Picture", "write_gallery"]

SHARP = 96
"""Pictures up to this side are shown enlarged, with their pixels kept square."""


@dataclass(frozen=True)
class Picture:
    """A picture of a gallery."""

    pixels: npt.NDArray[np.uint8]
    """(H, W, C)"""
    caption: str
    is_photograph: bool = False
    """Whether it may be shown as a JPEG of 128 pixels on the page; its PNG file is whole."""


@dataclass(frozen=True)
class Panel:
    """Pictures that belong together, with how to read them."""

    name: str
    """Name of its files: letters, digits and hyphens."""
    title: str
    caption: str
    """What is shown and how to read it."""
    notes: Sequence[str] = ()
    """What belongs to each kind of picture in it, such as its scale."""
    pictures: Sequence[Picture] = ()
    columns: int = 0
    """Pictures in a row, where the rows mean something; 0: as many as fit."""
    wide: bool = False
    """Whether each picture takes the width of the page."""
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    """The numbers behind the pictures, by name."""
    animation: Sequence[npt.NDArray[np.uint8]] = ()
    """Pictures (H, W, 3) that follow each other, written as a GIF file."""
    chart: str = ""
    """A drawing that is no picture of pixels."""


def write_gallery(folder: Path, title: str, facts: Sequence[str], panels: Sequence[Panel]) -> Path:
    """Write gallery.html, and each panel's PNG files and raw arrays; the page's path comes back.

    The page comes last: where it lies, all of the gallery does.

    Args:
        folder: Folder that is new or empty.
        title: Title of the page.
        facts: Sentences below it.
        panels: Panels in the order of the page.

    Raises:
        ConfigError: a folder that holds something.
        StorageError: the disk refuses.
    """
    require_free(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shown = []
    for panel in panels:
        pictures, moving = [], ""
        for number, picture in enumerate(panel.pictures, start=1):
            content = png(picture.pixels)
            durable.write_bytes(folder / f"{panel.name}-{number:02}.png", content)
            pictures.append(_on_page(picture, content))
        if panel.animation:
            content = gif(panel.animation)
            durable.write_bytes(folder / f"{panel.name}.gif", content)
            moving = uri_of(content, "image/gif")
        if panel.arrays:
            durable.write_bytes(folder / f"{panel.name}.npz", _npz(panel.arrays))
        shown.append({"panel": panel, "pictures": pictures, "moving": moving})
    page = environment().get_template("gallery.html.j2")
    html = page.render(title=title, facts=list(facts), shown=shown)
    index = [
        {
            "name": panel.name,
            "title": panel.title,
            "caption": panel.caption,
            "notes": list(panel.notes),
            "pictures": [picture.caption for picture in panel.pictures],
        }
        for panel in panels
    ]
    durable.write_bytes(folder / "gallery.json", json.dumps(index, indent=2).encode())
    durable.write_bytes(folder / "gallery.html", html.encode())
    return folder / "gallery.html"


def evidence_caption(title: str, values: npt.NDArray[np.floating]) -> str:
    """The caption of a map; it says so where the map shows nothing."""
    return title if values.any() else f"{title}: 0 everywhere, there is no evidence"


def require_free(folder: Path) -> None:
    """Refuse a folder that holds something, before any work.

    Raises:
        ConfigError: a file, or a folder that is not empty.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        raise ConfigError(f"{folder} exists already; give a new folder with --out FOLDER.")


def file_name(text: str) -> str:
    """A text as a part of a file's name.

    Example:
        >>> file_name("features.3/expand 1x1")
        'features-3-expand-1x1'
    """
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-") or "it"


def _on_page(picture: Picture, content: bytes) -> dict[str, Any]:
    """A picture, whose PNG file has this content, as the page shows it."""
    is_sharp = max(picture.pixels.shape[:2]) <= SHARP
    is_small = picture.is_photograph
    uri = thumbnail_uri(picture.pixels) if is_small else uri_of(content, "image/png")
    return {"uri": uri, "caption": picture.caption, "sharp": is_sharp}


def _npz(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    return stream.getvalue()
