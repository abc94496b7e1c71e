"""Write names of files and classes in messages, whatever bytes they are made of."""

import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

# What would move a terminal's cursor, turn the direction of writing, or cannot be UTF-8; line
# breaks and tabs apart.
_CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_UNSHOWN = re.compile(rf"[\t\n{_CONTROLS}]")
# Marks without width, which editors and spreadsheets leave behind.
_INVISIBLE = re.compile(r"[\u200b-\u200f\u2060\ufeff]")
_UNSHOWN_IN_LINES = re.compile(rf"[{_CONTROLS}]")
# What a spreadsheet computes, and the same after the quotes that keep it from doing so.
_FORMULA = re.compile("'*[=+\\-@＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
# What Python puts for bytes of a file's name that are no UTF-8.
# Systems allow 255.
_NAME_BYTES = 160
_NO_TEXT = re.compile(r"[\ud800-\udfff]")


def shown(name: str) -> str:
    r"""The name on one line: line breaks and control characters as "\n", "\x1b"."""
    return _UNSHOWN.sub(lambda match: repr(match[0])[1:-1], name)


def visible(text: str) -> str:
    r"""Text of several lines, its control characters as "\x1b", its line breaks as they are."""
    return _UNSHOWN_IN_LINES.sub(lambda match: repr(match[0])[1:-1], text)


def json_text(value: Any, indent: int | None = None) -> str:
    """A JSON value as text that a terminal shows: control characters stand as JSON's escapes."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _UNSHOWN_IN_LINES.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def safe_cell(text: str) -> str:
    r"""A name as a cell that no spreadsheet computes and that moves no cursor.

    Example:
        >>> safe_cell("=1+1"), safe_cell("-1.5"), safe_cell("a\x1b[2J")
        ("'=1+1", '-1.5', 'a\\x1b[2J')
    """
    text = shown(text)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def cell_name(cell: str) -> str:
    """The name that `safe_cell` made a cell of, without the quotes before a formula.

    Example:
        >>> [cell_name(safe_cell(name)) for name in ("=1+1", "cat", "-2", "'s")]
        ['=1+1', 'cat', '-2', "'s"]
    """
    return cell.lstrip("'") if _FORMULA.match(cell) else cell


def is_text(name: str) -> bool:
    """Whether a text can be written as UTF-8 and name a file: whole characters, none of them 0."""
    return "\0" not in name and _NO_TEXT.search(name) is None


def text_name(name: str) -> str:
    r"""A file's name as text; bytes that are no UTF-8 as "\xe4", so that names stay distinct."""
    return _NO_TEXT.sub(lambda match: _escaped(ord(match[0])), name)


def folder_name(title: str) -> str:
    """A title as the name of a folder: words joined by "-", cut so that a suffix has room."""
    words = re.sub(r"[^\w.-]+", "-", title).strip("-").lower()
    return words.encode("utf-8", "replace")[:_NAME_BYTES].decode("utf-8", "ignore")


def enumerated(names: Sequence[str], most: int = 8) -> str:
    """A short enumeration of names, as they are shown."""
    few = ", ".join(map(shown, names[:most]))
    return few if len(names) <= most else f"{few} and {len(names) - most} more"


def counted(reasons: Iterable[tuple[str, str]]) -> str:
    """The most frequent reasons, each with its number of files and the first of them.

    Args:
        reasons: Name and reason of each file.

    Example:
        >>> counted([("a.png", "empty"), ("b.png", "cut short"), ("c.png", "empty")])
        'empty (2 files, the first a.png); cut short (b.png)'
    """
    reasons = list(reasons)
    first = {reason: name for name, reason in reversed(reasons)}
    return "; ".join(
        f"{reason} ({f'{count} files, the first ' * (count > 1)}{shown(first[reason])})"
        for reason, count in Counter(reason for _, reason in reasons).most_common(3)
    )


def natural_key(name: str) -> tuple[Any, ...]:
    """Order in which "s2" comes before "s10"."""
    # No more digits at a time than Python turns into a number.
    pieces = re.split(r"(\d{1,600})", name.casefold())
    numbered = [(int(p), p) if i % 2 else p for i, p in enumerate(pieces)]
    return tuple(numbered), name


def class_key(name: str) -> str:
    """A class name without its letter case, Unicode composition and invisible differences."""
    return _evenly_spaced(name).casefold()


def composed(name: str) -> str:
    """A name with each letter and its accents as one character (Unicode's form NFC)."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def confusable(names: Iterable[str]) -> list[list[str]]:
    """Groups of different names that a person can hardly tell apart: equal to `class_key`.

    Example:
        >>> confusable(["dog", "cat", "Cat"])
        [['Cat', 'cat']]
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(set(names)):
        groups[class_key(name)].append(name)
    return [group for group in groups.values() if len(group) > 1]


def difference(names: Sequence[str]) -> str:
    """The difference between names that are equal to `class_key`, and the names.

    Example:
        >>> difference(["Cat", "cat"]), difference(["cat", "cat "])
        ('letter case: Cat, cat', "spaces or invisible characters: 'cat', 'cat '")
    """
    plain = [composed(name) for name in names]
    ways = []
    if len(set(map(_evenly_spaced, plain))) > 1:
        ways.append("letter case")
    if len({name.casefold() for name in plain}) > 1:
        ways.append("spaces or invisible characters")
    if ways == ["letter case"]:
        return f"letter case: {enumerated(names)}"
    how = " and ".join(ways) or "composed and decomposed letters"
    return f"{how}: {enumerated([ascii(name) for name in names])}"


def _evenly_spaced(name: str) -> str:
    return " ".join(_INVISIBLE.sub("", composed(name)).split())


def _escaped(code: int) -> str:
    # U+DC80 to U+DCFF stand for the bytes 0x80 to 0xFF (PEP 383).
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
