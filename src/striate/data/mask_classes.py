"""Classes of masks: which stored numbers stand for which class, by a list of classes or without."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from striate.errors import DataError

VOID_NAMES = frozenset({"void", "ignore", "unlabelled", "unlabeled"})
"""Names in a list of classes that mean pixels which count for nothing."""
_MANY = 256
"""Different numbers that nobody named: more of them are objects, not classes."""
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


def listed_classes(name: str, text: str) -> dict[str, int | tuple[int, ...]]:
    """The id or colour of each class in classes.txt or classes.json.

    Raises:
        DataError: It is no such list.
    """
    try:
        pairs = _json_pairs(json.loads(text)) if name.endswith(".json") else _text_pairs(text)
        found = {str(key): _code(value) for key, value in pairs}
    except (ValueError, TypeError) as error:
        raise DataError(f"{name} is no list of classes: {error}. {_FORM}") from error
    kinds = {type(code) for code in found.values()}
    if len(found) < len(pairs) or len(set(found.values())) < len(found) or len(kinds) != 1:
        raise DataError(
            f"{name} is no list of classes: names, ids or colours occur twice, or it holds ids "
            f"beside colours. {_FORM}"
        )
    return found


def _json_pairs(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        turned = all(str(key).isdigit() and isinstance(name, str) for key, name in value.items())
        return [(name, int(key)) if turned else (key, name) for key, name in value.items()]
    return [(name, number) for number, name in enumerate(value)]


def _text_pairs(text: str) -> list[tuple[Any, Any]]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    numbered = [re.fullmatch(r"((?:\d+[\s,:]+){3}|\d+[\s,:]+)(\S.*)", line) for line in lines]
    if lines and all(numbered):
        codes = [[int(n) for n in re.findall(r"\d+", match[1])] for match in numbered if match]
        names = [match[2] for match in numbered if match]
        return [
            (n, code if len(code) > 1 else code[0]) for n, code in zip(names, codes, strict=True)
        ]
    return [(name, number) for number, name in enumerate(lines)]


def _code(value: Any) -> int | tuple[int, ...]:
    if isinstance(value, str) and re.fullmatch("#[0-9a-fA-F]{6}", value):
        value = list(bytes.fromhex(value[1:]))
    if isinstance(value, list) and len(value) == 3 and all(v in range(256) for v in value):
        return tuple(value)
    if isinstance(value, int) and 0 <= value < 2**16:
        return value
    raise ValueError(f"{value!r} is no id from 0 to 65535 and no colour")


def colour_number(colour: Sequence[int]) -> int:
    """The number of a colour (red, green, blue)."""
    return colour[0] << 16 | colour[1] << 8 | colour[2]


def spelled(number: int, mode: str) -> str:
    """A stored number as people write it: #4000a0 for a colour, else the id."""
    return f"#{number:06x}" if mode == "RGB" else str(number)


def numbers_of(
    listed: Mapping[str, int | tuple[int, ...]], mode: str, palette: Sequence[int]
) -> dict[str, int]:
    """The stored number of each listed class, in masks of a mode.

    Raises:
        DataError: Colours are listed, and the masks have none; or the reverse.
    """
    colours = [palette[i : i + 3] for i in range(0, len(palette), 3)]
    index = {tuple(colour): i for i, colour in reversed(list(enumerate(colours)))}
    numbers = {}
    for name, code in listed.items():
        if isinstance(code, int) and mode == "RGB":
            code = (code, code, code)  # ids as grey levels in a colour file
        if isinstance(code, int):
            numbers[name] = code
        elif mode == "RGB":
            numbers[name] = colour_number(code)
        elif code in index:
            numbers[name] = index[code]
        elif mode != "P":
            raise DataError(
                f"The list of classes gives {name!r} a colour, and the masks hold ids. Give it its "
                f"id. {_FORM}"
            )
    return numbers


def classes_of(
    present: Sequence[int], mode: str, listed: Mapping[str, int] | None, void: Sequence[int] | None
) -> Classes:
    """The classes of a set of masks.

    Args:
        present: Stored numbers that occur, in rising order.
        mode: Form of the masks.
        listed: Number of each class that a list names; None: there is no list.
        void: Numbers that a person calls void; None: those that the list calls so, and 255 where it
            occurs beside the ids of several classes.

    Raises:
        DataError: There are too many different numbers to be classes, or too few.
    """
    white = 0xFFFFFF if mode == "RGB" else 255
    named = dict(listed or {})
    if void is None:
        void = [number for name, number in named.items() if name.casefold() in VOID_NAMES]
        others = [number for number in present if number != white and number not in void]
        known = set(others) <= set(named.values()) if named else _dense(others)
        if white in present and white not in named.values() and len(others) > 1 and known:
            void = [*void, white]
    rest = [number for number in present if number not in void]
    two = len(rest) <= 2 and {0, white} >= set(rest)
    plain = {n: k for n, k in named.items() if n.casefold() not in VOID_NAMES and k not in void}
    if listed is None and (two or rest in ([0, 1], [0])):
        other = 1 if rest == [0, 1] else white
        plain = {"background": 0, "object": other}
    elif listed is None:
        plain = {spelled(number, mode): number for number in rest}
    elif two and len(plain) == 2 and sorted(plain.values()) == [0, 1]:
        plain = {name: white * number for name, number in plain.items()}
    elif len(plain) == 1:
        plain = {"background": 0, **dict.fromkeys(plain, rest[-1] or white)}
    if len(plain) > _MANY and listed is None:
        what = "colours: smoothed edges, or a lossy file" if mode == "RGB" else "ids: numbers of "
        raise DataError(
            f"The masks hold {len(plain):,} different {what}{'objects?' * (mode != 'RGB')} Each "
            f"class needs one of its own. Save them so, or list the classes. {_FORM}"
        )
    if len(plain) < 2:
        raise DataError(
            f"The masks have one class, {', '.join(plain) or 'none'}; two are needed. {_FORM}"
        )
    return Classes(tuple(plain), tuple(plain.values()), tuple(void))


def _dense(ids: Sequence[int]) -> bool:
    """Whether numbers look like ids of classes, counted from 0, and not like levels of grey."""
    return len(ids) > 0 and max(ids) < max(64, 2 * len(ids))
