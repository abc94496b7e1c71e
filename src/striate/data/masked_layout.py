"""Images and their masks, paired by names: in sibling folders, or in one folder for each image.

One reading for folders on the disk and for archives, as of class folders. Folders are paired that
are called images/ and masks/ (or labels/, annotations/), or train/ and trainannot/; names of files
decide, so that two classes that happen to be called so stay classes.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from striate.data.hidden import PICTURES
from striate.data.layout import DESCRIPTIONS, Entry, by_name, read_layout, split_named
from striate.data.source import Item, Listing
from striate.data.spelling import enumerated
from striate.errors import DataError

_IMAGES = {"images", "image", "imgs", "img", "jpegimages"}
_MASKS = {
    *("masks", "mask", "labels", "label", "annotations", "annotation", "segmentations"),
    *("segmentationclass", "groundtruth", "gt"),
}
_SIBLING = re.compile(r"(.+?)[-_ ]?(?:annot|masks?|labels?)", re.IGNORECASE)
"""Folders of masks that are called after the folder of their images."""
_ENDING = re.compile(r"[-_. ](mask|masks|label|labels|gt|seg|L)$")
Parts = tuple[str, ...]


class _File(NamedTuple):
    """A file below a folder of images or of masks."""

    above: Parts
    """Folders above that folder."""
    inner: Parts
    """Folders below it, and the file's name without its ending."""
    entry: Entry

    @property
    def name(self) -> str:
        return "/".join(self.entry.parts)


class _Pair(NamedTuple):
    """An image and its mask, or the masks of its objects."""

    image: _File
    masks: list[_File]
    are_objects: bool


def read_tree(title: str, entries: Iterable[Entry], folders: Iterable[Parts] = ()) -> Listing:
    """Find the items of a tree of files: images with masks where names pair them, else classes.

    Args:
        title: Name of the tree in messages.
        entries: All visible files.
        folders: All visible folders, so that empty ones are noticed too.

    Raises:
        DataError: Every reason why nothing can be learned from the tree, together.
    """
    entries = list(entries)
    masked = _masked(title, entries)
    return read_layout(title, entries, folders) if masked is None else masked


def _masked(title: str, entries: list[Entry]) -> Listing | None:
    """The images with their masks; None where names do not pair any."""
    folders = {part.casefold() for entry in entries for part in entry.parts[:-1]}
    if not folders & _MASKS and not any(map(_SIBLING.fullmatch, folders)):
        return None
    entries = _without_top(sorted(entries, key=lambda entry: entry.parts))
    images, masks = _sorted(entries)
    if not images or not masks:
        return None
    pairs = _pairs(images, masks)
    if 2 * len(pairs) < min(len(images), len({mask.above + mask.inner for mask in masks})):
        return None
    _refuse(title, pairs)
    unique, repeats = by_name([_item(pair) for pair in pairs])
    kept, notes = _of_splits(title, unique)
    used = {file.name for pair in pairs for file in (pair.image, *pair.masks)}
    for files, what in ((images, "image(s) without a mask"), (masks, "mask(s) without an image")):
        if alone := [file.name for file in files if file.name not in used]:
            notes.append(f"{len(alone)} {what} were left out: {enumerated(alone)}.")
    # Of several, that which lies highest.
    described = {e.parts[-1]: e for e in sorted(entries, key=lambda entry: -len(entry.parts))}
    described_by = [Item(n, 0, None, described[n].key) for n in DESCRIPTIONS if n in described]
    return Listing((), kept, (*notes, *repeats), tuple(described_by))


def _without_top(entries: list[Entry]) -> list[Entry]:
    """The entries without folders that lie around everything, as archives often have one."""
    while True:
        tops = {entry.parts[0] for entry in entries}
        deep = all(len(entry.parts) > 2 for entry in entries if entry.parts[-1] not in DESCRIPTIONS)
        if len(tops) != 1 or not deep or split_named(min(tops)) or min(tops).casefold() in _IMAGES:
            return entries
        entries = [Entry(entry.parts[1:], entry.key) for entry in entries]


def _sorted(entries: Sequence[Entry]) -> tuple[list[_File], list[_File]]:
    """Pictures below folders of images, and those below folders of masks."""
    folders = {entry.parts[:depth] for entry in entries for depth in range(1, len(entry.parts))}
    named = {folder: _SIBLING.fullmatch(folder[-1]) for folder in folders}
    siblings = {
        folder: (*folder[:-1], match[1])
        for folder, match in named.items()
        if match and (*folder[:-1], match[1]) in folders
    }
    drawn_on = set(siblings.values())
    images, masks = [], []
    for entry in entries:
        stem, dot, ending = entry.parts[-1].rpartition(".")
        if not dot or ending.casefold() not in PICTURES:
            continue
        for depth in range(len(entry.parts) - 1, 0, -1):
            folder, inner = entry.parts[:depth], (*entry.parts[depth:-1], stem)
            name = folder[-1].casefold()
            if folder in siblings:
                masks.append(_File(siblings[folder], inner, entry))
            elif folder in drawn_on:
                images.append(_File(folder, inner, entry))
            elif name in _IMAGES | _MASKS:
                (images if name in _IMAGES else masks).append(_File(folder[:-1], inner, entry))
            else:
                continue
            break
    return images, masks


def _pairs(images: Sequence[_File], masks: Sequence[_File]) -> list[_Pair]:
    known = {(image.above, image.inner) for image in images}
    of_stem: dict[tuple[Parts, Parts], list[_File]] = defaultdict(list)
    of_folder: dict[Parts, list[_File]] = defaultdict(list)
    for mask in masks:
        inner = mask.inner
        if (mask.above, inner) not in known:
            inner = (*inner[:-1], _ENDING.sub("", inner[-1]))
        of_stem[mask.above, inner].append(mask)
        of_folder[mask.above].append(mask)
    counts = Counter(image.above for image in images)
    # One folder for each image; a split of one image is none.
    single = {
        above for above in of_folder if counts[above] == 1 and not split_named("".join(above[-1:]))
    }
    single = single if len(single) > 1 else set()
    are_objects = any(len(of_folder[above]) > 1 for above in single)
    pairs = []
    for image in images:
        alone = image.above in single
        own = of_folder[image.above] if alone else of_stem.get((image.above, image.inner), [])
        if own:
            pairs.append(_Pair(image, own, alone and are_objects))
    return pairs


def _item(pair: _Pair) -> Item:
    image, masks = pair.image, pair.masks
    columns = {"mask": masks[0].name} | ({"objects": str(len(masks))} if pair.are_objects else {})
    # A folder above or below the folder of images may name the split.
    splits = [split_named(name) for name in (*image.above, *image.inner[:-1][:1])]
    split = next((split for split in splits if split), None)
    files = tuple(Item(mask.name, 0, split, mask.entry.key) for mask in masks)
    return Item(image.name, 0, split, image.entry.key, columns=columns, files={"mask": files})


def _of_splits(title: str, items: tuple[Item, ...]) -> tuple[tuple[Item, ...], list[str]]:
    """The items of the splits where there are any, and a note on the others."""
    if not any(item.split for item in items):
        return items, []
    if not any(item.split == "train" for item in items):
        names = sorted({str(item.split) for item in items if item.split})
        raise DataError(
            f"{title} has a {' and a '.join(names)} split with masks but none to train on. Put the "
            "images and masks to train on into train/, or rename the folder if it is no split."
        )
    outside = [item.name for item in items if item.split is None]
    left = f"{len(outside)} image(s) outside the splits were left out: {enumerated(outside)}."
    return tuple(item for item in items if item.split), [left] if outside else []


def _refuse(title: str, pairs: Sequence[_Pair]) -> None:
    """Refuse masks that lose ids, and those that do not belong to one image alone.

    Raises:
        DataError: All such problems together.
    """
    problems = []
    owners: dict[str, list[str]] = defaultdict(list)
    for image, masks, are_objects in pairs:
        for mask in masks:
            owners[mask.name].append(image.name)
        if len(masks) > 1 and not are_objects:
            names = enumerated([mask.name for mask in masks])
            problems.append(f"{image.name} has several masks: {names}. Keep one.")
    for name, images in owners.items():
        if len(images) > 1:
            problems.append(f"{enumerated(images)} share the mask {name}. Keep one of them.")
    if lossy := [name for name in owners if name.lower().endswith((".jpg", ".jpeg"))]:
        problems.insert(
            0,
            f"{len(lossy)} mask(s) of {title} are JPEG files, which keep no ids at borders: "
            f"{enumerated(lossy)}. Save the masks as PNG; if these folders are two classes, rename "
            "them.",
        )
    if problems:
        more = [f"and {len(problems) - 10} more problems"] * (len(problems) > 10)
        raise DataError("\n".join([*problems[:10], *more]))
