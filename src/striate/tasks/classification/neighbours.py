"""A page of images in rows: each with the training images that are nearest to it."""

import html
from collections.abc import Callable
from pathlib import Path

import numpy as np

from striate import durable
from striate.data import Dataset
from striate.data.spelling import shown
from striate.evaluation import thumbnail_uri
from striate.run_folder import RunFolder

_ROWS = 40
_SHOWN = 10

_STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2rem auto;max-width:62rem;padding:0 1rem}"
    "td{text-align:center;padding:.3rem;font-size:12px}"
    "td:first-child{border-right:2px solid #888}"
    "img{width:64px;image-rendering:pixelated;display:block;margin:auto}"
    ".other{color:#b00020;font-weight:bold}@media(prefers-color-scheme:dark)"
    "{body{background:#111;color:#ddd}.other{color:#ff8a80}}"
)


def write_neighbours(
    folder: RunFolder, data: Dataset, nearest: Callable[[np.ndarray, int], np.ndarray | None]
) -> Path | None:
    """Write neighbours.html beside the report; None, and no page, where nothing keeps images.

    Args:
        folder: Folder of the run.
        data: Dataset that it learned from.
        nearest: Indices (N, num) in the training split of the nearest images of (N, H, W, C).
    """
    # Spread over the split, so that all classes are seen.
    rows = np.unique(np.linspace(0, len(data.validation) - 1, _ROWS).round().astype(int))
    images = np.stack([np.asarray(data.validation.images[i]) for i in rows])
    indices = nearest(images, _SHOWN)
    if indices is None:
        return None
    names = data.class_names
    lines = []
    for image, truth, near in zip(images, data.validation.labels[rows], indices, strict=True):
        cells = [_cell(image, names[truth], "")]
        for i in near:
            label = data.train.labels[i]
            mark = "" if label == truth else ' class="other"'
            cells.append(_cell(np.asarray(data.train.images[i]), names[label], mark))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Neighbours</title>'
        f"<style>{_STYLE}</style><h1>Nearest training images</h1><p>Each row: an image of the "
        "validation split, then the training images nearest to it, the nearest first. Those of "
        "another class are in red and bold.</p>"
        f"<table>{''.join(lines)}</table></html>\n"
    )
    path = folder.path / "neighbours.html"
    durable.write_bytes(path, page.encode("utf-8"))
    return path


def _cell(image: np.ndarray, name: str, mark: str) -> str:
    word = html.escape(shown(name))
    return f'<td{mark}><img src="{thumbnail_uri(image)}" alt="{word}">{word}</td>'
