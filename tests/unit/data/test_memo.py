"""What the cache remembers of a question is believed only as it was written."""

import json
from pathlib import Path
from typing import Any

import pytest

from striate.data.cache import read_memo, write_memo

VALUES: list[Any] = [[[0, 3], [1, 7]], {"key": "a1", "title": "é\n"}, [], {}]


@pytest.mark.parametrize("value", VALUES)
def test_a_memo_comes_back_and_any_flipped_bit_is_noticed(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "memo.json"
    write_memo(path, value)
    assert read_memo(path) == value
    content = path.read_bytes()
    for bit in range(8 * (len(content) - 1)):  # but the last line's end
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        assert read_memo(path) is None


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("indent", [None, 2])
def test_memos_of_earlier_versions_are_read(tmp_path: Path, value: Any, indent: int | None) -> None:
    path = tmp_path / "memo.json"
    path.write_text(json.dumps(value, indent=indent) + "\n" * bool(indent))
    assert read_memo(path) == value


@pytest.mark.parametrize("content", [b"", b"\n", b"{", b"\xff\n", b"null"])
def test_a_damaged_memo_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "memo.json").write_bytes(content)
    assert read_memo(tmp_path / "memo.json") is None
    assert read_memo(tmp_path / "absent.json") is None
