"""The one pass that decodes a source into the cache.

Contents are read in the medium's own order, decoded and appended to a staging file; when all
digests are known the splits follow, and the rows are copied in their final order. Of the pixels
memory holds a few chunks, whatever the size of the set.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from striate import durable, locks
from striate.config import DataConfig
from striate.data import cache
from striate.data.decode import THUMBNAIL, ImageSpec, spec_of
from striate.data.decoding import decode_all
from striate.data.duplicate_check import check_duplicates
from striate.data.field import Column, Field, Loaded, strata_of, take
from striate.data.source import Item, Progress, Source
from striate.data.spelling import counted
from striate.data.split import Assignment, assign, reasons_by_class
from striate.data.stratify import Membership, counts_of
from striate.digests import digest_of_bytes
from striate.errors import DataError

_COPY_BYTES = 8 * 2**20
_THUMBNAILS = "thumbnails.u8"


@dataclass
class _Staged:
    """The decoded items in the order of the staging file, and those that are broken."""

    thumbnails: Path
    """File of their thumbnails, in the same order."""
    items: list[Item] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    sides: list[int] = field(default_factory=list)
    broken: list[dict[str, Any]] = field(default_factory=list)
    lasting: bool = True
    """Whether no file was unreadable for a reason outside it."""


def build(
    source: Source,
    config: DataConfig,
    fields: Mapping[str, Field],
    folder: Path,
    progress: Progress | None = None,
    turned: bool = True,
) -> tuple[str, bool]:
    """Decode the source into `folder`, and move it into the cache.

    Args:
        source: Source to decode.
        config: Form of the images and splits.
        fields: Fields that are kept of each item beside its image.
        folder: Folder to build in; what is left there from a build that was killed is removed.
        progress: Receives how many images are done.
        turned: Whether mirrored and turned copies belong together.

    Returns:
        The key of the set, and whether another build would find the same: not where files were
        unreadable for a reason outside them, such as a missing permission.

    Raises:
        DataError: nothing can be learned from the source.
        StorageError: the disk is full or refuses; nothing is left behind.
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
        key, lasting = _build(source, config, fields, folder, progress, turned)
        _move(folder, cache.images_dir() / key, config)
        return key, lasting
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _build(
    source: Source,
    config: DataConfig,
    fields: Mapping[str, Field],
    folder: Path,
    progress: Progress | None,
    turned: bool,
) -> tuple[str, bool]:
    spec = spec_of(config)
    staging = None if config.streaming else folder / "staging.u8"
    staged = _stage(source, spec, staging, folder / _THUMBNAILS, progress)
    # By name, so that the order of the medium leaves no trace.
    order = sorted(range(len(staged.items)), key=lambda i: staged.items[i].name)
    thumbnails = cache.map_array(staged.thumbnails, (len(order), *THUMBNAIL.shape))
    duplicates = check_duplicates(
        staged.items,
        staged.digests,
        staged.sides,
        thumbnails,
        config.groups,
        progress,
        turned=turned,
    )
    num_outside = sum(item.split != "test" for item in staged.items)
    dropped = duplicates.dropped(config.leaks, num_outside, source.published)
    order = [i for i in order if i not in dropped]
    kept = _Kept(
        [staged.items[i] for i in order],
        [staged.digests[i] for i in order],
        [duplicates.groups[i] for i in order],
        order,
    )
    loaded = {
        name: field.load(source, kept.items, spec, folder / f"{name}.staging")
        for name, field in fields.items()
    }
    columns = {name: values.column for name, values in loaded.items()}
    strata, names = strata_of(columns, fields, len(order))
    assignment = assign(
        kept.digests,
        strata,
        [item.split for item in kept.items],
        names,
        test_fraction=config.test_fraction,
        validation_fraction=config.validation_fraction,
        seed=config.split_seed,
        groups=kept.groups,
        broken=reasons_by_class(source, {b["name"]: b["reason"] for b in staged.broken}),
    )
    rows = {
        split: [i for i, of_item in enumerate(assignment.splits) if of_item == split]
        for split in ("train", "validation", "test")
    }
    row_bytes = math.prod(spec.shape)
    parts = {
        "development": rows["train"] + rows["validation"],
        "test": rows["test"],
    }
    described = {
        "format": cache.FORMAT,
        "title": source.title,
        "spec": spec.to_json(),
        "broken": staged.broken,
        **({"streamed": True} if config.streaming else {}),
        **duplicates.describe(len(dropped)),
        **_divided(_lines(loaded, kept.digests), assignment, rows, strata, names),
        "notes": [
            *source.notes,
            *duplicates.notes(),
            *(note for values in loaded.values() for note in values.notes),
            *assignment.notes,
        ],
        # With the digests of the items: the same pictures under other names or in other groups
        # are another set.
        **{
            part: _write_part(folder, part, kept, chosen, columns, fields, staging, row_bytes)
            for part, chosen in parts.items()
        },
    }
    for path in (*folder.glob("*.staging"), folder / "staging.u8", folder / _THUMBNAILS):
        path.unlink(missing_ok=True)
    if not is_classes_alone(fields):
        described["fields"] = {name: field.to_json() for name, field in fields.items()}
    key = cache.key_of(described, config)
    durable.write_json(folder / "set.json", described | {"key": key})
    return key, staged.lasting


class _Kept(NamedTuple):
    """The items of a set in the order of their names."""

    items: list[Item]
    digests: list[str]
    groups: list[str]
    order: list[int]
    """Row of each item in the staging file."""


def _write_part(
    folder: Path,
    part: str,
    kept: _Kept,
    chosen: Sequence[int],
    columns: Mapping[str, Column],
    fields: Mapping[str, Field],
    staging: Path | None,
    row_bytes: int,
) -> dict[str, Any]:
    """Write the chosen items into the folder of a part, and describe its files."""
    (folder / part).mkdir()
    index = np.array(chosen, dtype=np.int64)
    described = _write_items(
        folder / part,
        {
            name: field.encode(take(columns[name], index))
            for name, field in fields.items()
            if not field.in_file
        },
        [kept.items[i].name for i in chosen],
        [kept.digests[i] for i in chosen],
        [kept.groups[i] for i in chosen],
    )
    if staging is not None:
        staged_rows = [kept.order[i] for i in chosen]
        digest = _copy_rows(staging, folder / part / "pixels.u8", staged_rows, row_bytes)
        described |= {"pixel_bytes": len(chosen) * row_bytes, "pixel_digest": digest}
    arrays = {
        name: _write_array(folder, part, name, np.asarray(columns[name]), chosen)
        for name, field in fields.items()
        if field.in_file
    }
    return described | ({"arrays": arrays} if arrays else {})


def _stage(
    source: Source,
    spec: ImageSpec,
    path: Path | None,
    thumbnails: Path,
    progress: Progress | None,
) -> _Staged:
    """Decode everything once; without a path for the digests and the broken files alone.

    Thumbnails have a file of their own, unless they are the very pixels that are staged.
    """
    items = source.items
    streamed = path is None
    needed = cache.bytes_needed(len(items), spec, streamed=streamed)
    cache.require_room(source.title, needed, streamed=streamed)
    staged = _Staged(thumbnails if path is None else path)
    done = 0
    with durable.explaining(path or thumbnails, "written"), ExitStack() as files:
        stream = files.enter_context(open(os.devnull if path is None else path, "wb"))
        small = files.enter_context(open(thumbnails, "wb")) if path is None else None
        for chunk in decode_all(source.stream(items), spec):
            if small is None and chunk.thumbnails is not chunk.pixels:
                stream.flush()
                shutil.copyfile(staged.thumbnails, thumbnails)
                small = files.enter_context(open(thumbnails, "ab"))
                staged.thumbnails = thumbnails
            stream.write(chunk.pixels.data)
            if small is not None:
                small.write(chunk.thumbnails.data)
            staged.items += chunk.items
            staged.digests += chunk.digests
            staged.sides += chunk.sides
            for item, reason in chunk.broken:
                named = {"name": item.name, "reason": str(reason), "split": item.split}
                staged.broken.append(named)
                staged.lasting &= not reason.is_outside
            done += chunk.num_items
            if progress:
                progress("decoding images" if path else "looking through images", done, len(items))
    staged.broken.sort(key=lambda item: str(item["name"]))
    if not staged.items:
        reasons = counted((item["name"], item["reason"]) for item in staged.broken)
        raise DataError(
            f"None of the {len(items)} files of {source.title} is an image that can be "
            f"read: {reasons}."
        )
    return staged


def _copy_rows(staging: Path, path: Path, rows: Sequence[int], row_bytes: int) -> str:
    """Copy rows of a staging file into a file of a part, in the order of `rows`; their digest."""
    digest = hashlib.blake2b(digest_size=16)
    at_once = max(1, _COPY_BYTES // row_bytes)
    with (
        durable.explaining(path, "written"),
        open(staging, "rb") as source,
        open(path, "wb") as stream,
        ThreadPoolExecutor(1, "striate-digest") as hashing,
    ):
        for start in range(0, len(rows), at_once):
            some = rows[start : start + at_once]
            block = b"".join(os.pread(source.fileno(), row_bytes, i * row_bytes) for i in some)
            hashed = hashing.submit(digest.update, block)
            stream.write(block)
            hashed.result()
        stream.flush()
        os.fsync(stream.fileno())
    return digest.hexdigest()


def _write_array(
    folder: Path, part: str, name: str, column: np.ndarray, rows: Sequence[int]
) -> dict[str, Any]:
    """Write the values of a field that has a file of its own, and describe them."""
    row_bytes = math.prod(column.shape[1:]) * column.itemsize
    digest = _copy_rows(
        folder / f"{name}.staging", folder / part / f"{name}.array", rows, row_bytes
    )
    shape = [len(rows), *column.shape[1:]]
    return {"dtype": column.dtype.name, "shape": shape, "digest": digest}


def _write_items(
    folder: Path,
    columns: dict[str, list[Any]],
    names: Sequence[str],
    digests: Sequence[str],
    groups: Sequence[str],
) -> dict[str, Any]:
    # Sets of classes alone keep the form that they have always had.
    classes = columns.get("category") if len(columns) == 1 else None
    value = {
        **({"fields": columns} if classes is None else {"labels": classes}),
        "names": list(names),
        "digests": list(digests),
        # Of most pictures nothing else is in the group, which then has their own name.
        "groups": [None if g == d else g for g, d in zip(groups, digests, strict=True)],
    }
    # Without line breaks: the quick encoder makes none, and a million items are read by machines.
    content = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    durable.write_bytes(folder / "items.json", content)
    return {
        "num_items": len(names),
        "item_bytes": len(content),
        "item_digest": digest_of_bytes(content),
    }


def is_classes_alone(fields: Mapping[str, Field]) -> bool:
    """Whether an item holds nothing but an image and its class, as in every older cache."""
    return list(fields) == ["category"]


def _lines(loaded: Mapping[str, Loaded], digests: Sequence[str]) -> list[str]:
    """A line for each item: the text of its fields, and the digest of its picture."""
    texts = [values.lines for values in loaded.values()]
    return ["\0".join(parts) for parts in zip(*texts, digests, strict=True)]


def _divided(
    lines: Sequence[str],
    assignment: Assignment,
    rows: Mapping[str, Sequence[int]],
    strata: Sequence[Membership],
    names: Sequence[str],
) -> dict[str, Any]:
    """The content of set.json about the splits."""
    return {
        "class_names": list(names),
        "counts": {split: len(chosen) for split, chosen in rows.items()},
        "counts_per_class": {
            split: counts_of([strata[i] for i in chosen], len(names)) if names else [len(chosen)]
            for split, chosen in rows.items()
        },
        "digest": content_digest(lines),
        "test_digest": content_digest([lines[i] for i in rows["test"]]),
        "test_origin": assignment.test_origin,
        "validation_origin": assignment.validation_origin,
        "validation_notes": list(assignment.validation_notes),
    }


def content_digest(lines: Sequence[str]) -> str:
    """The digest of a set or split from a line "class\\0digest" for each item, in any order."""
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _move(folder: Path, final: Path, config: DataConfig) -> None:
    """Give a whole set its final name; one that is there already stays."""
    for path in (folder / "development", folder / "test", folder):
        durable.sync_folder(path)
    with (
        durable.explaining(final, "written"),
        locks.lock(final.parent / f".{final.name}.lock", wait=True, taken=""),
    ):
        if cache.read_set(final.name, config) is None:
            shutil.rmtree(final, ignore_errors=True)
            os.rename(folder, final)
            durable.sync_folder(final.parent)
