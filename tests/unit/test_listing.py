"""Names that can be listed: of published weights also whether they are at hand, and where from."""

from pathlib import Path

import pytest

from striate.api.listing import listing
from striate.errors import ConfigError
from striate.networks import PRETRAINED


def test_weights_are_listed_with_where_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path))
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "weights").mkdir()
    file = tmp_path / "weights" / PRETRAINED["resnet20"].file
    file.write_bytes(bytes(1_200_000))
    rows = {row.name: row for row in listing("weights")}
    assert rows.keys() == PRETRAINED.keys()
    assert rows["resnet20"].arguments == f"here: {file} (1 MB)"
    assert "8.27 %" in rows["resnet20"].text
    assert "BSD-2-Clause" in rows["resnet20"].text
    assert rows["resnet18"].arguments.startswith("not here; fetched when named, from https://")
    assert "--pretrained FILE" in rows["squeezenet_caffe"].arguments


def test_an_unknown_kind_is_refused_with_all_kinds() -> None:
    with pytest.raises(ConfigError, match="weights"):
        listing("wieghts")
