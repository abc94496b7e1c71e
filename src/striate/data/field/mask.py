"""One class out of K for each pixel."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from torch import Tensor

from striate.data.cache import require_room
from striate.data.decode import ImageSpec, fit_values
from striate.data.field.field import Column, Field, Loaded
from striate.data.mask_classes import classes_of, listed_classes, numbers_of, spelled
from striate.data.mask_file import orientations, read_masks, turn
from striate.data.mask_scan import MaskScan, scan_masks
from striate.data.picture import BrokenImage
from striate.errors import DataError

if TYPE_CHECKING:
    from striate.data.source import Item, Source
    from striate.data.warp import Warp

_SHOWN = 5
_FORM = (
    "Expected images/ and masks/ side by side, with files of equal names (images/a.jpg, "
    "masks/a.png), also inside train/, [validation/] and test/; or a CSV list with the columns "
    "path,mask."
)


class Mask(Field):
    """A class for each pixel; values are (H, W) class ids, batches int64 (B, H, W).

    Args:
        names: Names of the K classes, in the order of their ids.
        void: Id of pixels that count for nothing; it also fills what a warp brings in from
            beyond the border.
        stored: Number by which files store each class; None: its id.
        stored_void: Numbers by which files store void pixels.
        mode: Form of the files, as Pillow names it: "1", "L", "P", "I;16" or "RGB".
        palette: Red, green and blue of each index, in files of mode "P".
    """

    kind = "mask"
    batch_dtype = np.int64
    in_file = True

    def __init__(
        self,
        names: Sequence[str],
        void: int = 255,
        stored: Sequence[int] | None = None,
        stored_void: Sequence[int] = (),
        mode: str = "L",
        palette: Sequence[int] = (),
    ) -> None:
        self.names, self.void, self.mode = tuple(names), void, mode
        self.stored = tuple(range(len(names)) if stored is None else stored)
        self.stored_void, self.palette = tuple(stored_void), tuple(palette)

    @classmethod
    def of(cls, source: "Source", name: str, void: Iterable[int | str] | None = None) -> "Mask":
        """The classes of a source's masks, from a scan of all outside its test split.

        Args:
            source: Data whose items have masks.
            name: Name of the field.
            void: Ids, colours ("#rrggbb") or names of pixels that count for nothing; None: classes
                that the list of classes calls void, and 255 beside the ids of several classes.

        Raises:
            DataError: there are no masks, or some that cannot be used, all named together.
        """

        lacking = [item.name for item in source.items if name not in (item.files or {})]
        if lacking:
            some = (
                "names no masks"
                if len(lacking) == len(source.items)
                else (f"has {len(lacking)} images without a mask ({', '.join(lacking[:_SHOWN])})")
            )
            raise DataError(f"{source.title} {some}. {_FORM}")
        scan = scan_masks(source)
        _refuse(source.title, scan.problems)
        listed = listed_numbers(source, scan)
        asked = None if void is None else [_number(v, listed or {}) for v in void]
        classes = classes_of(list(scan.pixels), scan.mode, listed, asked)
        _refuse_unknown(source.title, scan, {*classes.stored, *classes.void})
        beyond = 255 if len(classes.names) <= 255 else 2**16 - 1
        return cls(classes.names, beyond, classes.stored, classes.void, scan.mode, scan.palette)

    def read(self, item: "Item") -> np.ndarray:
        raise DataError(f"{item.name}: a mask is read together with its source.")

    def load(
        self, source: "Source", items: Sequence["Item"], spec: ImageSpec, path: Path
    ) -> Loaded:

        orientation, problems, turned = orientations(source, items)
        _refuse(source.title, problems)
        dtype = np.dtype(np.uint8 if self.void < 256 else np.uint16)
        require_room(source.title, 2 * len(items) * dtype.itemsize * math.prod(spec.input_size))
        column = np.memmap(path, dtype, "w+", shape=(len(items), *spec.input_size))
        lines = [""] * len(items)
        ids_of = self._table()
        num_objects = num_shared = 0
        for row, mask in read_masks(source, items):
            file = (items[row].files or {})["mask"][0].name
            if isinstance(mask, BrokenImage):
                problems[file] = str(mask)
                continue
            ids = turn(ids_of[mask.numbers], orientation[row])
            if unknown := np.unique(mask.numbers[ids_of[mask.numbers] == _UNKNOWN]).tolist():
                problems[file] = f"it holds {unknown[:_SHOWN]}, which no training mask does"
                continue
            ids = ids.astype(dtype)
            # Of the whole mask, so that sets of other input sizes have the same.
            lines[row] = f"{ids.shape} {hashlib.blake2b(ids.tobytes(), digest_size=16).hexdigest()}"
            column[row] = fit_values(ids, spec, self.void)
            num_objects += mask.num_objects or 0
            num_shared += mask.num_shared
        _refuse(source.title, problems)
        column.flush()
        notes = []
        if turned:
            notes.append(f"{len(turned)} mask(s) were turned with their images, as EXIF says.")
        if num_objects:
            notes.append(
                f"{num_objects:,} objects, each in a file of its own, were united; {num_shared:,} "
                "pixels belong to several."
            )
        return Loaded(column, lines, tuple(notes))

    def _table(self) -> np.ndarray:
        """The id of each stored number."""
        table = np.full(2**24 if self.mode == "RGB" else 2**16, _UNKNOWN, np.int32)
        table[list(self.stored)] = np.arange(len(self.names))
        table[list(self.stored_void)] = self.void
        return table

    def picture(self, ids: np.ndarray) -> Image.Image:
        """A mask (H, W) of ids as a file of the form of those that were read."""
        numbers = np.zeros(self.void + 1, np.int64)
        numbers[: len(self.names)] = self.stored
        numbers[self.void] = next(iter(self.stored_void), 0)
        stored = numbers[ids]
        if self.mode == "RGB":
            colours = np.stack([stored >> 16, stored >> 8 & 255, stored & 255], axis=-1)
            return Image.fromarray(colours.astype(np.uint8))
        if self.mode == "1":
            return Image.fromarray(stored > 0)
        image = Image.fromarray(stored.astype(np.uint16 if self.mode == "I;16" else np.uint8))
        if self.mode == "P":
            image.putpalette(self.palette)
        return image

    def warp(self, batch: Tensor, warp: "Warp") -> Tensor:
        return warp.mask(batch, self.void)

    def summary(self, column: Column) -> str:
        ids, counts = np.unique(np.asarray(column), return_counts=True)
        valid = ids != self.void
        share = counts[valid].min() / counts[valid].sum() if valid.any() else 0.0
        return f"{len(self.names)} classes, the smallest {share:.2%} of the pixels"


_UNKNOWN = -1


def listed_numbers(source: "Source", scan: MaskScan) -> dict[str, int] | None:
    """The stored number of each class in the source's list of classes; None without a list.

    Raises:
        DataError: It is no such list.
    """

    for file in source.files[:1]:
        try:
            content = source.read(file)
            text = bytes(content).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file.name} cannot be read: {error}. Save it as UTF-8.") from error
        return numbers_of(listed_classes(file.name, text), scan.mode, scan.palette)
    return None


def _number(void: int | str, listed: Mapping[str, int]) -> int:
    """The stored number of void pixels, from an id, a colour or the name of a class."""
    if isinstance(void, int):
        return void
    if void in listed:
        return listed[void]
    try:
        return int(void[1:], 16) if void.startswith("#") else int(void)
    except ValueError:
        raise DataError(
            f"{void!r} is no id, no colour such as '#808080' and no name of a class; the list of "
            f"classes holds {', '.join(listed) or 'nothing'}."
        ) from None


def _refuse(title: str, problems: Mapping[str, str]) -> None:
    if problems:
        few = [f"  {name}: {why}" for name, why in list(problems.items())[:_SHOWN]]
        more = [f"  and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise DataError(
            "\n".join([f"{len(problems)} mask(s) of {title} cannot be used:", *few, *more])
        )


def _refuse_unknown(title: str, scan: MaskScan, known: set[int]) -> None:
    if unknown := unknown_numbers(scan, known):
        raise DataError(f"The masks of {title} hold numbers that no class has:\n{unknown}")


def unknown_numbers(scan: MaskScan, known: set[int]) -> str:
    """The numbers that no class has, with their shares, and what to type; "" if all are known."""

    strange = [number for number in scan.pixels if number not in known]
    if not strange:
        return ""
    total = sum(scan.pixels.values())
    lines = [
        f"  {spelled(n, scan.mode)}: {scan.pixels[n] / total:.2%} of the pixels, in "
        f"{scan.images[n]:,} of {scan.num:,} masks"
        for n in strange[:_SHOWN]
    ]
    more = [f"  and {len(strange) - _SHOWN} more"] if len(strange) > _SHOWN else []
    ids = json.dumps([spelled(n, scan.mode) if scan.mode == "RGB" else n for n in strange])
    return "\n".join(
        [
            *lines,
            *more,
            "Add them to the list of classes, or let them count for nothing:",
            f"  --task segmentation --set 'task.void={ids}'",
        ]
    )
