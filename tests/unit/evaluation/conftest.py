from pathlib import Path

import pytest

from striate.data.seal import SealedSplit


def never_read():
    raise AssertionError("the ledger has no business with the pixels")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh place for ledgers."""
    monkeypatch.setenv("STRIATE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def split(home: Path) -> SealedSplit:
    return SealedSplit("a1b2c3", 8, never_read)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run one"
    folder.mkdir()
    return folder
