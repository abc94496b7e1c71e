"""Write names of files and classes in messages, whatever bytes they are made of."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

# What would break a line, move a terminal's cursor, or cannot be written as UTF-8.
_UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# What Python puts for bytes of a file's name that are no UTF-8.
# Systems allow 255.
_NAME_BYTES = 160
_NO_TEXT = re.compile(r"[\ud800-\udfff]")


def shown(name: str) -> str:
    r"""The name on one line: line breaks and control characters as "\n", "\x1b"."""
    return _UNSHOWN.sub(lambda match: repr(match[0])[1:-1], name)


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


def natural_key(name: str) -> tuple[Any, ...]:
    """Order in which "s2" comes before "s10"."""
    pieces = re.split(r"(\d+)", name.casefold())
    numbered = [(int(p), p) if i % 2 else p for i, p in enumerate(pieces)]
    return tuple(numbered), name


def class_key(name: str) -> str:
    """A class name without its letter case and Unicode composition."""
    return unicodedata.normalize("NFC", name).casefold()


def _escaped(code: int) -> str:
    # U+DC80 to U+DCFF stand for the bytes 0x80 to 0xFF (PEP 383).
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
