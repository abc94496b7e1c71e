"""The page of a table has all rows, blocks that fold them, and loads nothing."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from striate.api import table as api
from striate.errors import ConfigError
from striate.seeing.table import table
from striate.seeing.table_page import table_page


def network() -> nn.Module:
    block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(block, nn.Identity()), nn.Flatten())


def test_blocks_fold_what_is_inside_them() -> None:
    found = table(network(), torch.zeros(2, 3, 8, 8))
    html = table_page([("a <b> network", found, ["layer: problem, cure"])])
    assert "a &lt;b&gt; network" in html
    assert "layer: problem, cure" in html
    assert "http" not in html.replace("http-equiv", "")
    lines = re.findall(
        r'<tr data-inside="([^"]*)"(?: class="block")?>.*?scope="row".*?>(.*?)</th>', html
    )
    names = [re.sub("<.*?>", "", name) for _, name in lines]
    assert names == ["0", "1", "1.0", "1.0.0", "1.0.1", "1.1", "2"]
    depth = {name: len(inside.split()) for (inside, _), name in zip(lines, names, strict=True)}
    assert depth == {"0": 0, "1": 0, "1.0": 1, "1.0.0": 2, "1.0.1": 2, "1.1": 1, "2": 0}


def test_a_network_by_name_is_described_without_computing() -> None:
    found = api.table("resnet", assignments=("network.depth=20",))
    assert found.table.total.multiply_adds == 40_551_040
    assert "269,722 parameters, 40,551,040 multiply-adds" in found.text()
    assert found.to_json()["total"]["parameters"] == 269_722
    folded = found.text(depth=1).splitlines()
    assert len(folded) < len(found.text().splitlines())


def test_two_networks_stand_side_by_side(tmp_path: Path) -> None:
    one, other = api.table("lenet5", shape=(1, 28, 28)), api.table("linear", shape=(1, 28, 28))
    text = api.comparison_text(one.table, other.table)
    assert "A: LeNet5, images 1×28×28" in text
    assert "B: " in text
    one.write_page(tmp_path / "both.html", other)
    html = (tmp_path / "both.html").read_text()
    assert html.count("<table") == 2


def test_layers_with_weights_behind_the_maps_can_relate_all_positions() -> None:
    """LeNet's fully connected layers see everything; a pooled head only adds up small fields."""
    assert not any(
        "no unit sees" in i.problem for i in api.table("lenet5", shape=(1, 28, 28)).issues
    )
    small = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    from striate.seeing.issue import issues

    assert any("no unit sees" in i.problem for i in issues(table(small, torch.zeros(1, 3, 9, 9))))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "resnett"}, "no network named 'resnett'"),
        ({"network": "resnet", "assignments": ("network.depht=3",)}, "depht"),
        ({"network": "resnet", "shape": (3,)}, "does not fit"),
    ],
)
def test_mistakes_are_said(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        api.table(**options)
