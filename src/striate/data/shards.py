"""Tar shards: a large set in many archives, read by position and never unpacked.

Two layouts: that of WebDataset, where 000123.jpg lies beside 000123.cls (the class as a number or
a name) or 000123.json (with "label"), and class folders inside the shards. The split comes from
the shard's name (train-000.tar, val-000.tar) or by its folder (train/000.tar). Where each member
lies is read from the headers once, and kept in the cache until the shard changes.
"""

import hashlib
import math
import os
import re
from collections.abc import Iterator, Sequence
from glob import glob
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from striate.data.archive import read_at, read_members
from striate.data.cache import memo_path, read_memo, require_writable, write_memo
from striate.data.hidden import PICTURES, hidden_notes, visible, without_hidden
from striate.data.layout import Entry, by_name, name_parts, read_layout, split_named
from striate.data.source import Content, Item, Listing, Source, Split, file_state, read_text
from striate.data.spelling import confusable, difference, enumerated, natural_key, shown, text_name
from striate.data.tarscan import scan_tar
from striate.errors import DataError
from striate.folders import expanded
from striate.reading import json_or_none, read_bytes

_LABELS = {"cls", "json"}
# A class is a word; what is longer is something else.
_LABEL_BYTES = 2**16
_NAMES = ("classes.txt", "classnames.txt")
_RANGE = re.compile(r"\{([0-9]{1,9})\.\.([0-9]{1,9})\}")
_MOST_SHARDS = 1_000_000
_FORM = (
    "Expected uncompressed .tar shards that hold 000123.jpg beside 000123.cls (the class as a "
    "number or a name), or class folders."
)


class _Member(NamedTuple):
    name: str
    offset: int
    size: int
    label: str | None = None
    """Content of a label file; None for all other files."""


class ShardSource(Source):
    """The images of many tar files.

    Args:
        shards: Paths of the tar files.
        origin: Path or pattern by which a person names them all.
        title: Name of the set; None: taken from the origin.
    """

    random_access = True

    def __init__(self, shards: Sequence[Path], origin: str, title: str | None = None) -> None:
        self.shards = tuple(sorted(shards, key=lambda path: natural_key(str(path))))
        self.origin = origin
        self.title = title or shown(re.sub(r"[-_.]*[{*].*", "", Path(origin).name) or "shards")

    def fingerprint(self) -> str:
        """A digest of the paths and states of all shards."""
        lines = [_identity(path) for path in self.shards]
        names = [f"{path}\0{read_bytes(path)!r}" for path in self._name_files()]
        return hashlib.sha256("\n".join([*lines, *names]).encode()).hexdigest()

    def shard_of(self, item: Item) -> int:
        """The number of the shard that an item lies in."""
        return int(item.key[0])

    def read(self, item: Item, limit: int | None = None) -> bytes:
        """The member's bytes, or the first `limit` of them."""
        number, offset, size = item.key
        with open(self.shards[number], "rb", buffering=0) as stream:
            return read_at(stream, offset, size, limit)

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
                yield from read_members(stream, ((i, i.key[1], i.key[2]) for i in of_shard), limit)

    def _list(self) -> Listing:
        require_writable()
        problems = []
        members: list[list[_Member]] = []
        for path in self.shards:
            try:
                members.append(_indexed(path))
            except OSError as error:
                problems.append(f"  {path}: {error}")
        if problems:
            first = "\n".join(problems[:20])
            raise DataError(
                f"{len(problems)} of the {len(self.shards)} shards of {self.title} cannot be "
                f"read:\n{first}\n{_FORM} Copy or make them again, or leave them out."
            )
        if any(member.label is not None for of_shard in members for member in of_shard):
            return self._paired(members)
        return self._folders(members)

    def _folders(self, members: list[list[_Member]]) -> Listing:
        """Images in class folders inside the shards."""
        entries = []
        for number, (path, of_shard) in enumerate(zip(self.shards, members, strict=True)):
            top = _split_word(path)
            for member in of_shard:
                parts = name_parts(member.name)
                if top is not None and not split_named(parts[0]):
                    parts = (top, *parts)
                entries.append(Entry(parts, (number, member.offset, member.size)))
        files, _, hidden = without_hidden(entries, ())
        listing = read_layout(self.title, files)
        return listing._replace(notes=(*listing.notes, *hidden_notes(hidden)))

    def _paired(self, members: list[list[_Member]]) -> Listing:
        """Images with the label files of the same name."""
        images: list[tuple[str, str, Split | None, Any]] = []
        unlabelled: list[str] = []
        contradicting: list[str] = []
        common = os.path.commonpath([path.absolute().parent for path in self.shards])
        for number, (path, of_shard) in enumerate(zip(self.shards, members, strict=True)):
            title = text_name(path.absolute().relative_to(common).as_posix())
            split = split_named(_split_word(path) or "")
            labels: dict[str, str] = {}
            for member in of_shard:
                if member.label is None:
                    continue
                if labels.setdefault(_stem(member.name), member.label) != member.label:
                    contradicting.append(f"{title}/{member.name}")
            for member in of_shard:
                if _ending(member.name) not in PICTURES:
                    continue
                name, label = f"{title}/{member.name}", labels.get(_stem(member.name))
                if label is None:
                    unlabelled.append(name)
                else:
                    images.append((name, label, split, (number, member.offset, member.size)))
        if unlabelled:
            raise DataError(
                f"{len(unlabelled)} images of {self.title} have no label beside them: "
                f"{enumerated(unlabelled)}. {_FORM}"
            )
        if contradicting:
            raise DataError(
                f"{len(contradicting)} label files of {self.title} contradict another of the same "
                f"image: {enumerated(contradicting)}. Leave one for each image."
            )
        names, index = self._classes({label for _, label, _, _ in images})
        unique, repeats = by_name(
            [Item(name, index[label], split, key) for name, label, split, key in images]
        )
        return Listing(names, unique, tuple(repeats))

    def _classes(self, labels: set[str]) -> tuple[tuple[str, ...], dict[str, int]]:
        """Names of the classes, and the class of each label as it is written."""
        lines = [line for path in self._name_files() for line in read_text(path).splitlines()]
        names = tuple(line.strip() for line in lines if line.strip())
        numbers = all(re.fullmatch(r"[0-9]{1,18}", label) for label in labels)
        plain = {label: str(int(label)) if numbers else label for label in labels}
        by_number = numbers and bool(names)
        names = names or tuple(sorted(set(plain.values()), key=natural_key))
        for twice in confusable(names):
            raise DataError(
                f"{self.title}: names of classes differ only in {difference(twice)}. Use one "
                "spelling if they are one class, other names if they are two."
            )
        index = {str(i) if by_number else name: i for i, name in enumerate(names)}
        unknown = sorted(label for label, text in plain.items() if text not in index)
        if unknown or len(set(names)) < 2:
            which = f"the labels {enumerated(unknown)} are" if unknown else "fewer than two are"
            raise DataError(
                f"{self.title} has {len(set(names))} class(es), and {which} among them. Labels are "
                f"numbers from 0 or names; {' or '.join(_NAMES)} beside the shards lists the "
                "names, one a line."
            )
        return names, {label: index[text] for label, text in plain.items()}

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
    """List the files that a pattern stands for.

    Raises:
        DataError: Some that a range names do not exist, or there are none.
    """
    ranges = _RANGE.findall(pattern)
    if math.prod(max(1, int(last) - int(first) + 1) for first, last in ranges) > _MOST_SHARDS:
        raise DataError(f"{pattern} stands for more than {_MOST_SHARDS:,} shards; name fewer.")
    if match := _RANGE.search(pattern):
        first, last = match[1], match[2]
        width = len(first) if len(first) == len(last) or first.startswith("0") else 0
        numbers = (f"{number:0{width}d}" for number in range(int(first), int(last) + 1))
        names = (f"{pattern[: match.start()]}{n}{pattern[match.end() :]}" for n in numbers)
        paths = [path for name in names for path in expand_pattern(name)]
    elif "*" in pattern:
        paths = sorted(map(Path, glob(str(expanded(pattern)), recursive=True)))
    else:
        return [expanded(pattern)]
    if problem := _missing(paths):
        raise DataError(f"{pattern} stands for {len(paths)} shards, and {problem}.")
    return paths


def _missing(paths: Sequence[Path]) -> str | None:
    missing = [str(path) for path in paths if not os.path.isfile(path)]  # False for long names
    if missing:
        return f"{len(missing)} of them do not exist: {enumerated(missing)}"
    return None if paths else "there is none"


def shards_below(folder: Path) -> list[Path]:
    """List the .tar files of a folder, or of its split folders; none where others lie there, and
    none where a folder may not be looked into."""
    try:
        return _shards_below(folder)
    except OSError:
        return []


def _shards_below(folder: Path) -> list[Path]:
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
    """List the shards that a text file names, one a line, relative to it; # begins a remark.

    Raises:
        DataError: It names none, or some that do not exist.
    """
    lines = [line.split("#", 1)[0].strip() for line in read_text(path).splitlines()]
    if remote := [line for line in lines if "://" in line]:
        raise DataError(
            f"{path} names shards elsewhere: {enumerated(remote)}. They are read by position, "
            "from this machine's disks: download them first."
        )
    paths = []
    for line in filter(None, lines):
        shard = str(path.parent / expanded(line))
        paths += expand_pattern(shard) if is_pattern(shard) else [Path(shard)]
    if problem := _missing(paths):
        raise DataError(
            f"{path} should name .tar shards, one a line; it names {len(paths)}, and {problem}."
        )
    return paths


def _indexed(path: Path) -> list[_Member]:
    """Files of a shard, from the cache where the shard was read before."""
    memo = memo_path("shard", _identity(path))
    known = read_memo(memo)
    if not isinstance(known, list):
        known = _index(path)
        write_memo(memo, known)
    return [_Member(*member) for member in known]


def _index(path: Path) -> list[_Member]:
    members = []
    with open(path, "rb") as stream:
        for name, is_folder, offset, size in scan_tar(path):
            name = text_name(name)
            if is_folder or not visible(name.rpartition("/")[2]):
                continue
            label = None
            if _ending(name) in _LABELS:
                label = _label(name, read_at(stream, offset, size, _LABEL_BYTES))
            members.append(_Member(name, offset, size, label))
    return members


def _label(name: str, content: bytes) -> str | None:
    text = content.decode("utf-8", "replace").strip()
    if _ending(name) == "cls":
        return text
    value = json_or_none(text)
    label = value.get("label", value.get("cls")) if isinstance(value, dict) else None
    # NaN alone does not equal itself.
    named = isinstance(label, (str, int, float)) and label == label
    return text_name(str(label).strip()) if named else None


def _identity(path: Path) -> str:
    try:
        return f"{text_name(str(path.resolve()))}\0{file_state(path)}"
    except OSError as error:
        raise DataError(f"The shard {path} cannot be read: {error.strerror}.") from error


def _split_word(path: Path) -> str | None:
    """The word in a shard's name, or its folder's, that names a split; None where none does."""
    words = (re.split(r"[^A-Za-z]", path.name)[0], path.parent.name)
    return next((word for word in words if split_named(word)), None)


def _stem(name: str) -> str:
    """WebDataset's key: the path up to the first dot of the file's name."""
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}{file.split('.', 1)[0]}"


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower()


def shard_numbers(source: Source, items: Sequence[Item]) -> np.ndarray | None:
    """Number of the shard in which each item lies; None where the source has no shards."""
    if not isinstance(source, ShardSource):
        return None
    return np.array([source.shard_of(item) for item in items], dtype=np.int64)
