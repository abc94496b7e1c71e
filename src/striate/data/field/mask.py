"""One class out of K for each pixel."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from torch import Tensor

from striate.data.cache import require_room
from striate.data.decode import ImageSpec, fit_values
from striate.data.drawn import align, turn
from striate.data.field.field import Column, Field, Finding, Loaded
from striate.data.mask_classes import read_classes, spelled, unknown_numbers, unknown_words
from striate.data.mask_file import StoredMask, mask_name, read_masks
from striate.data.mask_scan import scan_masks
from striate.data.picture import BrokenImage
from striate.data.spelling import enumerated
from striate.errors import DataError

if TYPE_CHECKING:
    from striate.data.source import Item, Source
    from striate.data.warp import Warp

_UNKNOWN = -1
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
    def of(
        cls, source: "Source", name: str, void: int | Iterable[int | str] | None = None
    ) -> "Mask":
        """The classes of a source's masks, from a scan of all outside its test split.

        Args:
            source: Data whose items have masks.
            name: Name of the field.
            void: Ids, colours ("#rrggbb") or names of pixels that count for nothing; None: classes
                that the list of classes calls void, and 255 beside the ids of several classes.

        Raises:
            DataError: there are no masks, or some that cannot be used, all named together.
        """
        if lacking := [item.name for item in source.items if name not in (item.files or {})]:
            raise DataError(
                f"{source.title} names no {name} of {len(lacking)} of {len(source.items)} images: "
                f"{enumerated(lacking)}. {_FORM}"
            )
        scan = scan_masks(source, [item for item in source.items if item.split != "test"])
        _refuse(source.title, scan.problems)
        classes = read_classes(source, scan, void)
        if unknown := unknown_numbers(scan, classes):
            words = unknown_words(scan, unknown)
            raise DataError(f"The masks of {source.title} hold numbers of no class: {words}")
        beyond = 255 if len(classes.names) <= 255 else 2**16 - 1
        return cls(classes.names, beyond, classes.stored, classes.void, scan.mode, scan.palette)

    @classmethod
    def inspect(cls, source: "Source", items: Sequence["Item"]) -> list[Finding]:
        masked = [item for item in items if cls.kind in (item.files or {})]
        if not masked:
            return []
        scan = scan_masks(source, masked)
        forms = ", ".join(f"{num:,} of the form {mode}" for mode, num in scan.modes.items())
        findings = [Finding("masks", f"{scan.num:,}", forms)]
        reasons = [f"{name}: {why}" for name, why in scan.problems.items()]
        for what, names in (
            ("masks at fault", reasons),
            ("masks turned with their images", scan.turned),
            ("masks of one class", scan.constant),
        ):
            findings += [Finding(what, f"{len(names):,}", enumerated(names))] if names else []
        try:
            classes = read_classes(source, scan)
        except DataError as error:
            return [*findings, Finding("classes of masks", "-", str(error))]
        if unknown := unknown_numbers(scan, classes):
            amount, text = f"{len(unknown):,}", unknown_words(scan, unknown)
            findings.append(Finding("numbers of no class", amount, text))
        total = max(1, sum(pixels for pixels, _ in scan.counts.values()))
        void = [(spelled(number, scan.mode), number) for number in classes.void]
        for name, number in (*zip(classes.names, classes.stored, strict=True), *void):
            pixels, masks = scan.counts.get(number, (0, 0))
            words = f"of the pixels, in {masks:,} of {scan.num:,} masks"
            is_void = " (void)" * (number in classes.void)
            findings.append(Finding(f"{name}{is_void}", f"{pixels / total:.2%}", words))
        return findings

    def read(self, item: "Item") -> np.ndarray:
        raise DataError(f"{item.name}: a mask is read together with its source.")

    def load(
        self, source: "Source", items: Sequence["Item"], spec: ImageSpec, path: Path
    ) -> Loaded:
        orientations, problems, turned = align(source, items, self.kind)
        _refuse(source.title, problems)
        dtype = np.dtype(np.uint8 if self.void < 256 else np.uint16)
        shape = (len(items), *spec.input_size)
        require_room(source.title, 2 * dtype.itemsize * math.prod(shape))
        column = np.memmap(path, dtype, "w+", shape=shape)
        lines = [""] * len(items)
        table = self._table()
        num_objects = num_shared = 0
        for row, mask in read_masks(source, items):
            fault = str(mask) if isinstance(mask, BrokenImage) else self._fault(mask, table)
            if fault or isinstance(mask, BrokenImage):
                problems[mask_name(items[row])] = fault
                continue
            ids = turn(table[mask.numbers], orientations[row]).astype(dtype)
            # Of the whole mask, so that it does not depend on the input size.
            lines[row] = f"{ids.shape} {hashlib.blake2b(ids.tobytes(), digest_size=16).hexdigest()}"
            column[row] = fit_values(ids, spec, self.void)
            num_objects += mask.num_objects
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

    def _fault(self, mask: StoredMask, table: np.ndarray) -> str:
        """The reason why a stored mask has no ids; "" for most."""
        if (mask.mode == "RGB") != (self.mode == "RGB"):
            return f"it is of the form {mask.mode}, those of the training images {self.mode}"
        unknown = mask.numbers[table[mask.numbers] == _UNKNOWN]
        few = enumerated([spelled(number, mask.mode) for number in np.unique(unknown).tolist()])
        return f"it holds {few}, which no training mask does" if few else ""

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

    def pixels(self, mask: np.ndarray) -> np.ndarray:
        """The number of pixels of each class (K,) in a mask of ids, void left out."""
        counts = np.bincount(np.ravel(mask), minlength=self.void + 1)
        counts[self.void] = 0
        return counts[: len(self.names)]

    def counts(self, column: Column) -> tuple[int, ...]:
        """The number of pixels of each class (K,)."""
        # One after the other: together they may be larger than the memory.
        return tuple(np.sum([self.pixels(mask) for mask in column], axis=0).tolist())

    def warp(self, batch: Tensor, warp: "Warp") -> Tensor:
        return warp.mask(batch, self.void)

    def summary(self, column: Column) -> str:
        present = [count for count in self.counts(column) if count]
        share = min(present) / sum(present) if present else 0.0
        return f"{len(self.names)} classes, the smallest {share:.2%} of the pixels"


def _refuse(title: str, problems: Mapping[str, str]) -> None:
    if problems:
        few = [f"  {name}: {why}" for name, why in list(problems.items())[:_SHOWN]]
        more = [f"  and {len(problems) - _SHOWN} more"] * (len(problems) > _SHOWN)
        raise DataError(
            "\n".join([f"{len(problems)} mask(s) of {title} cannot be used:", *few, *more])
        )
