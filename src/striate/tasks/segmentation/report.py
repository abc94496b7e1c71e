"""Sections of a report on segmentation: the classes, and the best, median and worst images."""

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from striate.data.field import Mask
from striate.drawing.picture import data_uri
from striate.evaluation.metric import Columns
from striate.evaluation.report import Section
from striate.tasks.segmentation.metric import PREDICTED, class_figures, of_each_image

if TYPE_CHECKING:
    from striate.tasks.task import ReportedSplit

_SHOWN = 3
"""Images of each kind: best, median, worst."""
_RIGHT, _WRONG, _VOID = (235, 235, 235), (200, 30, 30), (120, 120, 120)


def colours(field: Mask) -> np.ndarray:
    """A colour (void + 1, 3) for each id: that of the files where they have colours."""
    table = np.full((field.void + 1, 3), _VOID, np.uint8)
    num = len(field.names)
    if field.mode in ("P", "RGB"):
        ids = np.arange(num, dtype=np.int64)[None]
        table[:num] = np.asarray(field.picture(ids).convert("RGB"))[0]
    else:
        # Hues a golden angle apart; the first class, often the ground, is dark.
        hues = [colorsys.hsv_to_rgb(0.618 * k % 1, 0.75, 0.95 if k else 0.25) for k in range(num)]
        table[:num] = np.round(255 * np.array(hues))
    return table


def drawn(image: np.ndarray, mask: np.ndarray, field: Mask) -> np.ndarray:
    """An image (H, W, C) under the half transparent colours of a mask (H, W)."""
    blend: np.ndarray = (image.astype(np.uint16) + colours(field)[mask]) // 2
    return blend.astype(np.uint8)


def figures_of_classes(rows: Columns, names: Sequence[str]) -> list[dict[str, Any]]:
    """The figures of each class as JSON values; None for those of a class that is left out."""
    return [
        {key: None if value != value else value for key, value in figures.items()}
        for figures in class_figures(rows, names)
    ]


def sections(split: "ReportedSplit", field: Mask) -> list[Section]:
    """The table of the classes, and images of the split with their masks."""
    return [
        Section("Classes", _table(split.rows, field.names)),
        Section("Best, median and worst images", _pictures(split, field)),
    ]


def _table(rows: Columns, names: Sequence[str]) -> Markup:
    head = ("class", "share of pixels", "images", "IoU", "Dice", "recall", "most often taken for")
    lines = [Markup("<tr>{}</tr>").format(_cells(head, "th"))]
    for figures in class_figures(rows, names):
        cells = [
            f"{value:.3f}" if isinstance(value, float) and value == value else value
            for value in figures.values()
        ]
        spelled = ["–" if cell is None or cell != cell else cell for cell in cells]
        lines.append(Markup("<tr>{}</tr>").format(_cells(spelled, "td")))
    note = Markup(
        "<p>Void pixels are left out. A class that neither truth nor prediction has is left out of "
        "means, here marked –. Recall: share of the pixels of the class that are predicted so.</p>"
    )
    return Markup("<table>{}</table>{}").format(Markup("").join(lines), note)


def _cells(values: Sequence[Any], tag: str) -> Markup:
    return Markup("").join(Markup(f"<{tag}>{{}}</{tag}>").format(value) for value in values)


def _pictures(split: "ReportedSplit", field: Mask) -> Markup:
    """Rows of image, truth, prediction and error, of the images with the best to worst IoU."""
    quality = of_each_image(split.rows)
    order = np.argsort(-quality, kind="stable")[: int((~np.isnan(quality)).sum())]
    middle = max(0, len(order) // 2 - _SHOWN // 2)
    chosen = [*order[:_SHOWN], *order[middle : middle + _SHOWN], *order[-_SHOWN:]]
    head = _cells(("image", "IoU", "", "truth", "prediction", "error"), "th")
    lines = [Markup("<tr>{}</tr>").format(head)]
    table = colours(field)
    for index in dict.fromkeys(int(i) for i in chosen):
        predicted = split.rows[PREDICTED][index]
        image, truth = (
            _at(np.asarray(values), predicted.shape)
            for values in (split.images.images[index], split.images.columns["mask"][index])
        )
        error = np.where((predicted == truth)[..., None], _RIGHT, _WRONG)
        error = np.where((truth == field.void)[..., None], _VOID, error).astype(np.uint8)
        pictures = (image, table[truth], table[predicted], error)
        cells = [split.images.names[index], f"{quality[index]:.3f}"]
        cells += [
            Markup('<img alt="" width="160" src="{}">').format(data_uri(picture))
            for picture in pictures
        ]
        lines.append(Markup("<tr>{}</tr>").format(_cells(cells, "td")))
    legend = [
        Markup('<span style="background:rgb{}">&emsp;</span> {}').format(
            tuple(table[k].tolist()), name
        )
        for k, name in enumerate(field.names)
    ]
    return Markup("<table>{}</table><p>{}</p>").format(
        Markup("").join(lines), Markup(" &ensp; ").join(legend)
    )


def _at(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Rows and columns of values (H, W, ...) at even distances, as many as `shape` has."""
    rows, columns = (
        (np.arange(few) * many + many // 2) // few
        for few, many in zip(shape, values.shape, strict=False)
    )
    chosen: np.ndarray = values[rows[:, None], columns]
    return chosen
