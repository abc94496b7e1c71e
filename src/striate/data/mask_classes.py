"""Classes of masks: which stored numbers stand for which class, by a list of classes or without."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from striate.data.mask_scan import MaskScan
from striate.data.source import Source
from striate.data.spelling import enumerated, text_name
from striate.errors import DataError
from striate.reading import reported_as

_VOID = frozenset({"void", "ignore", "unlabelled", "unlabeled"})
"""Names in a list of classes that mean pixels which count for nothing."""
_MANY = 256
"""So many different numbers that nobody named may be classes."""
_FORM = (
    "Accepted: classes.txt with one name a line (line 1 is id 0), or lines such as '7 car' or "
    '\'64 0 128 car\'; classes.json with a list of names, or {"car": 7}, or {"car": [64, 0, 128]}.'
)


class Classes(NamedTuple):
    """Classes and the numbers by which masks store them."""

    names: tuple[str, ...]
    stored: tuple[int, ...]
    """Number of each class."""
    void: tuple[int, ...]
    """Numbers of pixels that count for nothing."""


def read_classes(
    source: Source, scan: MaskScan, void: int | Iterable[int | str] | None = None
) -> Classes:
    """The classes of a source's masks.

    Args:
        source: Source with classes.txt or classes.json, if there is one.
        scan: Scan of its masks.
        void: Ids, colours ("#rrggbb") or names of pixels that count for nothing; None: those that
            the list calls void, and 255 where it occurs beside the ids of several classes.

    Raises:
        DataError: The list is none, or the numbers cannot be classes.
    """
    named = _listed(source, scan)
    white = 0xFFFFFF if scan.mode == "RGB" else 255
    if void is None:
        unseen = [number for name, number in named.items() if name.casefold() in _VOID]
        others = [number for number in scan.counts if number not in (white, *unseen)]
        ids = set(others) <= set(named.values()) if named else _dense(others)
        if white in scan.counts and white not in named.values() and len(others) > 1 and ids:
            unseen.append(white)
    else:
        given = [void] if isinstance(void, (int, str)) else void
        unseen = [_number(each, named) for each in given]
    present = [number for number in scan.counts if number not in unseen]
    plain = {name: number for name, number in named.items() if number not in unseen}
    two = set(present) <= {0, white}
    if two and sorted(plain.values()) == [0, 1]:
        plain = {name: white * number for name, number in plain.items()}
    elif len(plain) == 1 or (not plain and (two or present == [0, 1])):
        other = next(iter(plain), "object")
        plain = {"background": 0, other: white if two else present[-1]}
    elif not plain:
        plain = {spelled(number, scan.mode): number for number in present}
    if len(plain) > _MANY and not named:
        kind = "ids: numbers of objects" if scan.mode != "RGB" else "colours: smoothed edges"
        raise DataError(
            f"The masks hold {len(plain):,} different {kind}? Each class needs one of its own. "
            f"Save them so, or list the classes. {_FORM}"
        )
    if len(plain) < 2:
        raise DataError(
            f"The masks have one class, {enumerated(list(plain))}; two are needed. {_FORM}"
        )
    return Classes(tuple(plain), tuple(plain.values()), tuple(unseen))


def unknown_numbers(scan: MaskScan, classes: Classes) -> list[int]:
    """The numbers that masks hold and no class has."""
    return [number for number in scan.counts if number not in (*classes.stored, *classes.void)]


def unknown_words(scan: MaskScan, unknown: Sequence[int]) -> str:
    """Numbers that no class has, with their shares, and what to type."""
    total = sum(pixels for pixels, _ in scan.counts.values())
    shares = [
        f"{spelled(n, scan.mode)} ({scan.counts[n][0] / total:.2%} of the pixels, in "
        f"{scan.counts[n][1]:,} of {scan.num:,} masks)"
        for n in unknown
    ]
    typed = json.dumps([spelled(n, scan.mode) if scan.mode == "RGB" else n for n in unknown])
    return (
        f"{enumerated(shares)}. Add them to the list of classes, or let them count for nothing: "
        f"--set 'task.void={typed}'"
    )


def spelled(number: int, mode: str) -> str:
    """A stored number as people write it: #4000a0 for a colour, else the id."""
    return f"#{number:06x}" if mode == "RGB" else str(number)


def _dense(ids: Sequence[int]) -> bool:
    """Whether numbers look like ids of classes, counted from 0, and not like levels of grey."""
    return max(ids, default=0) < max(64, 2 * len(ids))


def _number(void: int | str, named: Mapping[str, int]) -> int:
    """The stored number of void pixels, from an id, a colour or the name of a class."""
    if void in named:
        return named[str(void)]
    try:
        code = _code(int(void) if str(void).isdigit() else void)
    except ValueError as error:
        raise DataError(
            f"task.void: {error}, nor a name of the list of classes: {enumerated(list(named))}."
        ) from None
    return code if isinstance(code, int) else _stored(code, "RGB", [])


def _listed(source: Source, scan: MaskScan) -> dict[str, int]:
    """The stored number of each class in the first list of classes; none without a list."""
    if not source.files:
        return {}
    file = source.files[0]
    colours = [scan.palette[i : i + 3] for i in range(0, len(scan.palette), 3)]
    with reported_as(DataError, f"{file.name} is no list of classes", _FORM):
        text = bytes(source.read(file)).decode("utf-8-sig")
        pairs = _json_pairs(json.loads(text)) if ".json" in file.name else _text_pairs(text)
        codes = {text_name(str(name)): _code(value) for name, value in pairs}
        if len(set(codes.values())) < len(pairs):
            raise ValueError("names, ids or colours occur twice")
        if len({type(code) for code in codes.values()}) != 1:
            raise ValueError("it holds ids beside colours, or nothing")
        return {name: _stored(code, scan.mode, colours) for name, code in codes.items()}


def _stored(code: int | tuple[int, ...], mode: str, palette: list[tuple[int, ...]]) -> int:
    """The number by which masks store an id or a colour."""
    if isinstance(code, int):  # in colour files, a level of grey
        return code * 0x010101 if mode == "RGB" else code
    if mode == "P" and code in palette:
        return palette.index(code)
    if mode != "RGB":
        lacking = "no such colour in their palette" if mode == "P" else "ids"
        raise ValueError(f"it gives a class the colour {list(code)}, and the masks have {lacking}")
    return code[0] << 16 | code[1] << 8 | code[2]


def _json_pairs(value: Any) -> list[tuple[Any, Any]]:
    if not isinstance(value, Mapping):
        return [(name, number) for number, name in enumerate(value)]
    if all(key.isdigit() and isinstance(name, str) for key, name in value.items()):
        return [(name, int(key)) for key, name in value.items()]
    return list(value.items())


def _text_pairs(text: str) -> list[tuple[Any, Any]]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    numbered = [re.fullmatch(r"((?:\d+[\s,:]+){3}|\d+[\s,:]+)(\S.*)", line) for line in lines]
    if not all(numbered):
        return [(name, number) for number, name in enumerate(lines)]
    codes = [[int(n) for n in re.findall(r"\d+", match[1])] for match in numbered if match]
    names = [match[2] for match in numbered if match]
    return [(n, code if len(code) > 1 else code[0]) for n, code in zip(names, codes, strict=True)]


def _code(value: Any) -> int | tuple[int, ...]:
    """An id, or red, green and blue of a colour."""
    if isinstance(value, str) and re.fullmatch("#[0-9a-fA-F]{6}", value):
        value = list(bytes.fromhex(value[1:]))
    if isinstance(value, list) and len(value) == 3 and all(v in range(256) for v in value):
        return tuple(value)
    if isinstance(value, int) and 0 <= value < 2**16:
        return value
    raise ValueError(f"{value!r} is no id from 0 to 65535 and no colour such as #804000")
