"""Damaged copies of files, as failing disks, careless programs and attackers make them.

What a reader checks first is repaired, so that it looks further: checksums of PNG, zip, tar and
gzip files, and lengths in front of what was changed. A part of the copies is damaged without regard
to their form.
"""

import gzip
import io
import json
import math
import random
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

Form = Callable[[bytes, random.Random], bytes]

_FORMLESS = 0.2
"""Share of the copies whose form is not regarded."""
_HEADER = 64
_ODD_BYTES = (b"", b"\0", b"\xff", b"\x7f" * 4, b"\xff" * 8, b"\0" * 16, b"PK\1\2", b"-1", b"%s%n")
_ODD_TEXTS = (
    *("", "0", "-1", "1e400", "nan", "NaN", "-Infinity", "null", "true", "9" * 400, "9" * 5000),
    *("[", "]", "{", "}", '"', ",", ";", "\t", "\n", "\r", "[" * 100_000, "x" * 140_000, "²", "é"),
    *("\\ud800", "\x1b[2J", "\u202e", "../../etc/passwd", "/dev/zero", "a/b", ".", "..", "=1+1"),
)
_ODD_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**31, 2**63, 10**400, 1e308, -0.5, math.nan, math.inf),
    *("", "x" * 1000, "\ud800", "\0", "9" * 5000, "nan", "/dev/zero", [], {}, [[]], [None]),
    *({"": 0}, {"-1": "x"}, [1e400] * 3, ["a", ["b"]], {"name": {"name": 1}}),
)


def damaged(content: bytes, name: str, draw: random.Random) -> bytes:
    """A damaged copy of the content of a file, whose name says its form."""
    return draw_form(name, draw)(content, draw)


def draw_form(name: str, draw: random.Random) -> Form:
    """The way in which a file of that name is damaged this time."""
    endings = [ending for ending in FORMS if name.lower().endswith(ending)]
    if not endings or draw.random() < _FORMLESS:
        return any_bytes
    return FORMS[max(endings, key=len)]


def any_bytes(content: bytes, draw: random.Random) -> bytes:
    """Some bytes changed, put in, left out or repeated: half of the time among the first ones."""
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        most = min(len(changed), _HEADER) if draw.random() < 0.5 else len(changed)
        at, length = draw.randrange(most + 1), draw.choice((1, 1, 4, 16, 1000))
        piece = changed[at : at + length]
        match draw.choice(("bit", "odd", "number", "drop", "repeat", "cut")):
            case "bit" if piece:
                piece[draw.randrange(len(piece))] ^= 1 << draw.randrange(8)
            case "odd":
                piece = bytearray(draw.choice(_ODD_BYTES))
            case "number":
                form = draw.choice(("<I", ">I", "<H", ">H", "<Q"))
                most_of_form = 256 ** struct.calcsize(form) - 1
                number = draw.choice((0, 1, most_of_form, most_of_form // 2, draw.getrandbits(16)))
                piece[: struct.calcsize(form)] = struct.pack(form, number)
            case "drop":
                piece = bytearray()
            case "repeat":
                piece = piece * draw.choice((2, 50))
            case "cut" if draw.random() < 0.3:
                return bytes(changed[:at])
        changed[at : at + length] = piece
    return bytes(changed)


def text(content: bytes, draw: random.Random) -> bytes:
    """A word, a sign or a line of a text exchanged for an odd one."""
    pieces = re.split(rb"([\s,;:=\[\]{}\"]+)", content)
    for _ in range(draw.choice((1, 1, 3))):
        at = draw.randrange(len(pieces))
        odd = draw.choice((draw.choice(_ODD_TEXTS).encode(), draw.choice(pieces)))
        pieces[at] = odd if draw.random() < 0.8 else pieces[at] + odd
    return b"".join(pieces)


def json_text(content: bytes, draw: random.Random) -> bytes:
    """A value of a JSON text exchanged, left out or put under another name."""
    try:
        whole = {"": json.loads(content)}
    except ValueError:
        return any_bytes(content, draw)
    places = list(_places(whole))
    table, key = draw.choice(places)
    match draw.choice(("odd", "odd", "odd", "drop", "move", "deep")):
        case "odd":
            table[key] = draw.choice(_ODD_VALUES)
        case "drop" if table is not whole:
            del table[key]
        case "move":
            other, name = draw.choice(places)
            table[key] = json.loads(json.dumps(other[name]))
        case "deep":
            table[key] = "DEEP"
    changed = json.dumps(whole[""]).replace('"DEEP"', "[" * 50_000 + "]" * 50_000)
    return changed.encode()


def _places(value: Any) -> Any:
    """All lists and tables within a value, each with every index or key that it has."""
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    for key in keys:
        yield value, key
        yield from _places(value[key])


def json_lines(content: bytes, draw: random.Random) -> bytes:
    """A line of JSON damaged, repeated, left out or moved."""
    lines = content.splitlines(keepends=True)
    at = draw.randrange(len(lines))
    match draw.choice(("damage", "damage", "repeat", "drop", "move")):
        case "damage":
            lines[at] = json_text(lines[at], draw) + b"\n"
        case "repeat":
            lines.insert(at, lines[at])
        case "drop":
            del lines[at]
        case "move":
            lines.insert(draw.randrange(len(lines)), lines.pop(at))
    return b"".join(lines)


def png(content: bytes, draw: random.Random) -> bytes:
    """A chunk of a PNG file damaged, its checksum right; of pixels, what they unpack to."""
    chunks, at = [], 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    i = draw.randrange(len(chunks))
    kind, body = chunks[i]
    if kind == b"IDAT" and draw.random() < 0.5:
        body = zlib.compress(any_bytes(zlib.decompress(body), draw))
    else:
        body = any_bytes(body, draw)
    chunks[i] = (kind, body)
    if draw.random() < 0.2:
        chunks.insert(draw.randrange(len(chunks)), draw.choice(chunks))
    return content[:8] + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def zipped(content: bytes, draw: random.Random) -> bytes:
    """A member of a zip file damaged and packed anew, or the directory at its end."""
    if draw.random() < 0.4:
        start = content.find(b"PK\1\2")
        return content[:start] + any_bytes(content[start:], draw)
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w") as new:
        infos = old.infolist()
        chosen = draw.choice(infos)
        for info in infos:
            body = old.read(info)
            if info is chosen:
                body = damaged(body, info.filename, draw)
            new.writestr(info, body)
    return stream.getvalue()


def tarred(content: bytes, draw: random.Random) -> bytes:
    """A header of a tar file damaged, its checksum right, or the content of a member."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        member = draw.choice([m for m in archive.getmembers() if m.isreg()])
    changed = bytearray(content)
    at, size = member.offset_data, member.size
    if draw.random() < 0.4:
        body = damaged(content[at : at + size], member.name, draw)
        changed[at : at + size] = body[:size].ljust(size, b"\0")
        return bytes(changed)
    blocks = [at - 512, member.offset]
    header = draw.choice(blocks)
    fields = {"name": (0, 100), "size": (124, 12), "type": (156, 1), "link": (157, 100)}
    fields |= {"magic": (257, 8), "prefix": (345, 155), "pax": (512, 60)}
    start, length = draw.choice(list(fields.values()))
    odd = draw.choice(
        (b"-0000000512\0", b"77777777777\0", b"\x80" + b"\0" * 10 + b"\1", b"x", b"L")
    )
    odd = draw.choice((odd, any_bytes(content[header + start :][:length], draw)))[:length]
    changed[header + start : header + start + len(odd)] = odd
    block = changed[header : header + 512]
    block[148:156] = b" " * 8
    changed[header + 148 : header + 156] = b"%06o\0 " % sum(block)
    return bytes(changed)


def gzipped(content: bytes, draw: random.Random) -> bytes:
    """A damaged tar that is packed anew."""
    return gzip.compress(tarred(gzip.decompress(content), draw), 1)


def safetensors(content: bytes, draw: random.Random) -> bytes:
    """The header of a safetensors file damaged, its length right, or numbers behind it."""
    (length,) = struct.unpack("<Q", content[:8])
    header, numbers = content[8 : 8 + length], content[8 + length :]
    if draw.random() < 0.5:
        header = json_text(header, draw)
    else:
        numbers = any_bytes(numbers, draw)
        numbers = numbers[: len(content)].ljust(len(content) - 8 - length, b"\xff")
    return struct.pack("<Q", len(header)) + header + numbers


def array(content: bytes, draw: random.Random) -> bytes:
    """The header of an array damaged, its length right, or numbers behind it."""
    if content[:6] != b"\x93NUMPY" or draw.random() < 0.4:
        return any_bytes(content, draw)
    (length,) = struct.unpack("<H", content[8:10])
    header = text(content[10 : 10 + length], draw)[:60_000]
    return content[:8] + struct.pack("<H", len(header)) + header + content[10 + length :]


FORMS: dict[str, Form] = {
    ".json": json_text,
    ".jsonl": json_lines,
    ".csv": text,
    ".txt": text,
    ".cls": text,
    ".toml": text,
    ".png": png,
    ".zip": zipped,
    ".npz": zipped,
    ".pt": zipped,
    ".tar": tarred,
    ".tar.gz": gzipped,
    ".safetensors": safetensors,
    ".npy": array,
}
"""How a file is damaged, by the ending of its name."""
