"""Tar shards: a large set in many archives, read by position and never unpacked.

Two layouts: that of WebDataset, where 000123.jpg lies beside 000123.cls (the class as a number or
a name) or 000123.json (with "label"), and class folders inside the shards. The split is told by
the shard's name (train-000.tar, val-000.tar) or by its folder (train/000.tar). Where each member
lies is read from the headers once, and kept in the cache until the shard changes.
"""

import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from striate import durable
from striate.data.cache import memo_path, read_json, require_writable
from striate.data.layout import Entry, by_name, natural_key, read_layout, split_named, visible
from striate.data.source import (
    Content,
    Item,
    Listing,
    Source,
    Split,
    read_text,
    refuse_large,
)
from striate.data.spelling import enumerated, shown, text_name
from striate.data.tarscan import UnusualTar, scan_tar
from striate.errors import DataError

__all__ = [
    "ShardSource",
    "expand_pattern",
    "is_pattern",
    "shard_numbers",
    "shards_below",
    "shards_listed",
]

_IMAGES = {"jpg", "jpeg", "png", "webp", "bmp", "ppm", "pgm", "tif", "tiff", "gif", "jp2"}
_LABELS = {"cls", "json"}
# A class is a word; what is longer is something else.
_LABEL_BYTES = 2**16
_NAMES = ("classes.txt", "classnames.txt")
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_FORM = (
    "Expected uncompressed .tar shards that hold 000123.jpg beside 000123.cls (the class as a "
    "number or a name), or class folders."
)


class _Member(NamedTuple):
    name: str
    offset: int
    size: int
    label: str | None = None
    """What a label file says; None for all other files."""


class ShardSource(Source):
    """The images of many tar files.

    Args:
        shards: their paths.
        origin: how a person names them all.
    """

    random_access = True

    def __init__(self, shards: Sequence[Path], origin: str, title: str | None = None) -> None:
        self.shards = tuple(sorted(shards, key=lambda path: natural_key(str(path))))
        self.origin = origin
        self.title = title or shown(re.sub(r"[-_.]*[{*].*", "", Path(origin).name) or "shards")

    def fingerprint(self) -> str:
        """A digest of the paths, sizes and times of change of all shards."""
        lines = [_identity(path) for path in self.shards]
        names = [f"{path}\0{path.read_bytes()!r}" for path in self._name_files()]
        return hashlib.sha256("\n".join([*lines, *names]).encode()).hexdigest()

    def shard_of(self, item: Item) -> int:
        """The number of the shard that an item lies in."""
        return int(item.key[0])

    def read(self, item: Item, limit: int | None = None) -> bytes:
        """The member's bytes, or the first `limit` of them."""
        number, offset, size = item.key
        with open(self.shards[number], "rb", buffering=0) as stream:
            return _read_at(stream, offset, size, limit)

    def stream(
        self, items: Sequence[Item], limit: int | None = None
    ) -> Iterator[tuple[Item, Content]]:
        """The items shard after shard, each from its start to its end."""
        ordered = sorted(items, key=lambda item: item.key[:2])
        for number, of_shard in groupby(ordered, key=self.shard_of):
            try:
                stream = open(self.shards[number], "rb")  # noqa: SIM115 - closed below
            except OSError as error:
                yield from ((item, error) for item in of_shard)
                continue
            with stream:
                for item in of_shard:
                    _, offset, size = item.key
                    try:
                        yield item, _read_at(stream, offset, size, limit)
                    except OSError as error:
                        yield item, error

    def _list(self) -> Listing:
        require_writable()
        problems = []
        members: list[list[_Member]] = []
        for path in self.shards:
            try:
                members.append(_indexed(path))
            except UnusualTar:
                problems.append(f"  {path}: it is compressed or no plain tar")
            except (OSError, ValueError) as error:
                problems.append(f"  {path}: {error}")
        if problems:
            raise DataError(
                f"{len(problems)} of the {len(self.shards)} shards of {self.title} cannot be "
                "read:\n" + "\n".join(problems[:20]) + f"\n{_FORM} Copy or make them again, or "
                "leave them out."
            )
        if any(member.label is not None for of_shard in members for member in of_shard):
            return self._paired(members)
        return self._folders(members)

    def _folders(self, members: list[list[_Member]]) -> Listing:
        entries = []
        for number, (path, of_shard) in enumerate(zip(self.shards, members, strict=True)):
            top = _split_word(path)
            for member in of_shard:
                parts = tuple(p for p in member.name.split("/") if p not in ("", "."))
                if top is not None and not split_named(parts[0]):
                    parts = (top, *parts)
                entries.append(Entry(parts, (number, member.offset, member.size)))
        return read_layout(self.title, entries)

    def _paired(self, members: list[list[_Member]]) -> Listing:
        """Images with the label files of the same name."""
        found: list[tuple[str, str, Split | None, Any]] = []
        unlabelled: list[str] = []
        titles = _told_apart(self.shards)
        for number, (path, title, of_shard) in enumerate(
            zip(self.shards, titles, members, strict=True)
        ):
            word = _split_word(path)
            split = split_named(word) if word else None
            groups: dict[str, list[_Member]] = defaultdict(list)
            for member in of_shard:
                groups[_stem(member.name)].append(member)
            for of_stem in groups.values():
                labels = [m.label for m in of_stem if m.label is not None]
                for member in of_stem:
                    if _ending(member.name) not in _IMAGES:
                        continue
                    name = f"{title}/{member.name}"
                    if not labels:
                        unlabelled.append(name)
                        continue
                    found.append((name, labels[0], split, (number, member.offset, member.size)))
        if unlabelled:
            raise DataError(
                f"{len(unlabelled)} images of {self.title} have no label beside them: "
                f"{enumerated(unlabelled)}. {_FORM}"
            )
        names, index = self._classes({label for _, label, _, _ in found})
        items = [Item(name, index[label], split, key) for name, label, split, key in found]
        unique, repeats = by_name(items)
        return Listing(names, unique, tuple(repeats))

    def _classes(self, labels: set[str]) -> tuple[tuple[str, ...], dict[str, int]]:
        """Names of the classes, and the class of each label as it is written."""
        given = [line for path in self._name_files() for line in read_text(path).splitlines()]
        names = tuple(line.strip() for line in given if line.strip())
        numbers = all(label.isdigit() for label in labels)
        if names and numbers:
            strange = sorted(label for label in labels if int(label) >= len(names))
            index = {label: int(label) for label in labels}
        elif names:
            strange = sorted(label for label in labels if label not in names)
            index = {name: place for place, name in enumerate(names)}
        else:
            strange = []
            names = tuple(sorted({str(int(x)) if numbers else x for x in labels}, key=natural_key))
            index = {x: names.index(str(int(x)) if numbers else x) for x in labels}
        if strange or len(set(names)) < 2:
            told = f"the labels {enumerated(strange)} are" if strange else "fewer than two are"
            raise DataError(
                f"{self.title} has {len(set(names))} class(es), and {told} among them. Labels are "
                f"numbers from 0 or names; {' or '.join(_NAMES)} beside the shards lists the "
                "names, one a line."
            )
        return names, index

    def _name_files(self) -> list[Path]:
        """The first list of class names beside the shards or above them."""
        folders = dict.fromkeys(
            f for path in self.shards for f in (path.parent, path.parent.parent)
        )
        files = (folder / name for folder in folders for name in _NAMES)
        return [path for path in files if path.is_file()][:1]


def is_pattern(name: str) -> bool:
    """Whether a name stands for several tar files: train-{000..099}.tar, shards/*.tar."""
    return name.endswith(".tar") and ("*" in name or _RANGE.search(name) is not None)


def expand_pattern(pattern: str) -> list[Path]:
    """The files that a pattern stands for.

    Raises:
        DataError: some that a range names do not exist, or there are none.
    """
    if found := _RANGE.search(pattern):
        first, last = found[1], found[2]
        numbers = range(int(first), int(last) + 1)
        width = len(first) if len(first) == len(last) or first.startswith("0") else 0
        paths = [
            path
            for number in numbers
            for path in expand_pattern(
                f"{pattern[: found.start()]}{number:0{width}d}{pattern[found.end() :]}"
            )
        ]
    elif "*" in pattern:
        path = Path(pattern).expanduser()
        root = Path(*path.parts[: _first_star(path.parts)])
        paths = sorted(root.glob(str(Path(*path.parts[_first_star(path.parts) :]))))
    else:
        return [Path(pattern).expanduser()]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing or not paths:
        told = (
            f"{len(missing)} of them do not exist: {enumerated(missing)}"
            if missing
            else ("there is none")
        )
        raise DataError(f"{pattern} stands for {len(paths)} shards, and {told}.")
    return paths


def shards_below(folder: Path) -> list[Path]:
    """The .tar files of a folder, or of its train/, val/ and test/; none where others lie there."""
    tars: list[Path] = []
    for path in sorted(folder.iterdir()):
        if not visible(path.name):
            continue
        if path.is_dir():
            if not split_named(path.name):
                return []
            inner = [inside for inside in sorted(path.iterdir()) if visible(inside.name)]
            if any(inside.is_dir() for inside in inner):
                return []
            tars += [inside for inside in inner if inside.name.lower().endswith(".tar")]
        elif path.name.lower().endswith(".tar"):
            tars.append(path)
    return tars


def shards_listed(path: Path) -> list[Path]:
    """The shards that a text file names, one a line, relative to its folder; # begins a remark.

    Raises:
        DataError: it names none, or some that do not exist.
    """
    lines = [line.split("#", 1)[0].strip() for line in read_text(path).splitlines()]
    if remote := [line for line in lines if "://" in line]:
        raise DataError(
            f"{path} names shards elsewhere: {enumerated(remote)}. They are read by position, "
            "from this machine's disks: download them first."
        )
    paths = []
    for line in filter(None, lines):
        place = str(path.parent / Path(line).expanduser())
        paths += expand_pattern(place) if is_pattern(place) else [Path(place)]
    missing = [str(shard) for shard in paths if not shard.is_file()]
    if missing or not paths:
        told = f"{len(missing)} do not exist: {enumerated(missing)}" if missing else "no file"
        raise DataError(
            f"{path} should name .tar shards, one a line, and of its {len(paths)} lines {told}."
        )
    return paths


def _indexed(path: Path) -> list[_Member]:
    """Files of a shard, from the cache where the shard was read before."""
    memo = memo_path("shard", _identity(path))
    known = read_json(memo)
    if not isinstance(known, list):
        known = _index(path)
        durable.write_bytes(memo, json.dumps(known, ensure_ascii=False).encode())
    return [_Member(*member) for member in known]


def _index(path: Path) -> list[tuple[str, int, int, str | None]]:
    found: list[tuple[str, int, int, str | None]] = []
    with open(path, "rb") as stream:
        for member in scan_tar(path):
            name = text_name(member.name)
            if member.is_folder or not visible(name.rpartition("/")[2]):
                continue
            label = None
            if _ending(name) in _LABELS:
                label = _label(name, _read_at(stream, member.offset, member.size, _LABEL_BYTES))
            found.append((name, member.offset, member.size, label))
    return found


def _label(name: str, content: bytes) -> str | None:
    text = content.decode("utf-8", "replace").strip()
    if _ending(name) == "cls":
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return None
    label = value.get("label", value.get("cls")) if isinstance(value, dict) else None
    return None if label is None else str(label).strip()


def _read_at(stream: Any, offset: int, size: int, limit: int | None) -> bytes:
    refuse_large(size)
    wanted = size if limit is None else min(size, limit)
    stream.seek(offset)
    content: bytes = stream.read(wanted)
    if len(content) < wanted:
        raise OSError("the shard ends before this file does")
    return content


def _identity(path: Path) -> str:
    try:
        status = os.stat(path)
    except OSError as error:
        raise DataError(f"The shard {path} cannot be read: {error.strerror}.") from error
    return f"{text_name(str(path.resolve()))}\0{status.st_size}\0{status.st_mtime_ns}"


def _told_apart(shards: Sequence[Path]) -> list[str]:
    """The path of each shard below the folder that holds all of them."""
    paths = [path.absolute() for path in shards]
    common = os.path.commonpath([path.parent for path in paths])
    return [text_name(path.relative_to(common).as_posix()) for path in paths]


def _split_word(path: Path) -> str | None:
    """The word in a shard's name, or its folder's, that names a split; None where none does."""
    word = re.match(r"[A-Za-z]*", path.name)
    for name in (word[0] if word else "", path.parent.name):
        if split_named(name):
            return name
    return None


def _stem(name: str) -> str:
    """WebDataset's key: the path up to the first dot of the file's name."""
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}{file.split('.', 1)[0]}"


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _first_star(parts: Sequence[str]) -> int:
    return next(place for place, part in enumerate(parts) if "*" in part)


def shard_numbers(source: Source, items: Sequence[Item]) -> np.ndarray | None:
    """For each item the shard that it lies in; None where the source has no shards."""
    if not isinstance(source, ShardSource):
        return None
    return np.array([source.shard_of(item) for item in items], dtype=np.int64)
