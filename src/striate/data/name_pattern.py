"""Patterns of names: what the name of a file says of its image."""

import re
from collections.abc import Iterable, Mapping

from striate.data.layout import Entry, split_named
from striate.data.rows import read_rows
from striate.data.source import Listing
from striate.data.spelling import enumerated
from striate.errors import DataError

_HOLE = re.compile(r"\{([^{}]*)\}")
_MEANING = (
    "{age} stands for a number or a word, which becomes the column age, and {label}, {split} and "
    "{group} mean what they mean in a list; * stands for anything within one folder, ** for "
    "anything. A pattern without / is compared with the name of the file alone."
)


def name_expression(
    pattern: str, pieces_by_name: Mapping[str, str], *, shortest: bool = False
) -> re.Pattern[str]:
    """The regular expression of a pattern of names.

    Args:
        pattern: Text in which * stands for anything within one folder, ** for anything.
        pieces_by_name: Regular expressions of further pieces of the pattern.
        shortest: Whether * and ** take as little as possible.

    Example:
        >>> name_expression("*/GROUP/*", {"GROUP": "(?P<group>[^/]+?)"}).fullmatch("a/p7/3")[1]
        'p7'
    """
    less = "?" * shortest
    spelled = {"**": ".*" + less, "*": "[^/]*" + less, **pieces_by_name}
    pieces = re.split(f"({'|'.join(map(re.escape, spelled))})", pattern)
    return re.compile("".join(spelled.get(piece, re.escape(piece)) for piece in pieces))


def target_expression(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern of targets in names.

    What a name in braces stands for is as short as possible, and does not hold the character
    before it.

    Raises:
        DataError: The pattern has no name in braces, or one that is no word or occurs twice.

    Example:
        >>> target_expression("*_{age}_*.jpg").fullmatch("anna_b_35_2.jpg")["age"]
        'b'
        >>> target_expression("*_{age}.jpg").fullmatch("anna_b_35.jpg")["age"]
        '35'
    """
    holes = _HOLE.findall(pattern)
    wrong = [name for name in holes if not re.fullmatch(r"[a-z][a-z0-9_]*", name)]
    problem = None
    if not holes:
        problem = "names nothing: write '*_{age}.jpg', say"
    elif wrong:
        problem = f"has {{{wrong[0]}}}: a name is a word in small letters"
    elif len(set(holes)) < len(holes):
        problem = f"has {{{max(holes, key=holes.count)}}} twice"
    elif "path" in holes:
        problem = "has {path}, which is the name of the file itself"
    if problem is not None:
        raise DataError(f"The target pattern {pattern!r} {problem}. {_MEANING}")
    pieces_by_name = {}
    for match in _HOLE.finditer(pattern):
        before = pattern[match.start() - 1 : match.start()]
        without = re.escape(before) if before not in ("", "*", "}") else ""
        pieces_by_name[match[0]] = f"(?P<{match[1]}>[^/{without}]+?)"
    return name_expression(pattern, pieces_by_name, shortest=True)


def read_names(title: str, entries: Iterable[Entry], pattern: str) -> Listing:
    """Find the items of a tree of files, and what their names say of them.

    Splits are those of {split}, else of folders train/, [validation/] and test/ at the top where
    all files lie in such.

    Args:
        title: Name of the tree in messages.
        entries: All visible files.
        pattern: Pattern of the names, see `target_expression`.

    Raises:
        DataError: The pattern is none, no name fits it, or what they say cannot be learned from.
    """
    expression = target_expression(pattern)
    files = {"/".join(e.parts): e for e in entries}
    whole = "/" in pattern
    cells_of = {
        name: match.groupdict()
        for name, entry in files.items()
        if (match := expression.fullmatch(name if whole else entry.parts[-1])) is not None
    }
    strange = sorted(name for name in files if name not in cells_of)
    if not cells_of:
        raise DataError(
            f"None of the {len(files)} files of {title} fits the target pattern {pattern!r}: "
            f"{enumerated(strange, most=3)}. {_MEANING}"
        )
    tops = {name: files[name].parts[0] for name in cells_of if len(files[name].parts) > 1}
    if len(tops) == len(cells_of) and all(map(split_named, tops.values())):
        cells_of = {name: {"split": tops[name], **cells} for name, cells in cells_of.items()}
    listing = read_rows(
        f"{title}, {pattern}",
        list(cells_of),
        [{**cells, "path": name} for name, cells in cells_of.items()],
        lambda name: files[name].key,
        _MEANING,
    )
    left_out = (
        f"{len(strange)} file(s) whose names do not fit the target pattern were left out: "
        f"{enumerated(strange)}."
    )
    return listing._replace(notes=(*listing.notes, *([left_out] if strange else [])))
