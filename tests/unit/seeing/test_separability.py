"""Probes see where in a network the classes come apart, and predict only what they did not see."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.data.fold import folds_of
from striate.errors import ConfigError, DataError
from striate.networks import NETWORKS
from striate.registry import Pick
from striate.seeing.separability import _STRENGTHS, layers_over_depth, separability


def exclusive_or(num: int = 80) -> tuple[Tensor, Tensor]:
    """Points near the corners of a square; the class is whether their signs differ."""
    draw = torch.Generator().manual_seed(5)
    corners = torch.tensor([[1.0, 1], [-1, -1], [1, -1], [-1, 1]]).repeat(num // 4, 1)
    return corners + 0.2 * torch.randn(num, 2, generator=draw), torch.arange(num) // 2 % 2


def solves_it() -> nn.Module:
    """A turn of the square, a rectifier that makes it |x + y| and |x − y|, and their difference."""
    turn, last = nn.Linear(2, 4, bias=False), nn.Linear(4, 2, bias=False)
    with torch.no_grad():
        turn.weight.copy_(torch.tensor([[1.0, 1], [-1, -1], [1, -1], [-1, 1]]))
        last.weight.copy_(torch.tensor([[1.0, 1, -1, -1], [-1, -1, 1, 1]]))
    return nn.Sequential(turn, nn.ReLU(), last)


def test_classes_that_no_plane_parts_come_apart_behind_the_rectifier() -> None:
    x, labels = exclusive_or()
    layers = ["0", "1", "2"]
    rows = separability(solves_it(), [x[:50], x[50:]], labels, layers=layers)
    assert [(row.layer, row.num_features) for row in rows] == [("0", 4), ("1", 4), ("2", 2)]
    assert 0.3 < rows[0].error.value < 0.8
    assert [row.error.count for row in rows[1:]] == [0, 0]
    assert separability(solves_it(), [x[:50], x[50:]], labels) == rows[1:]
    assert all(row.error.n == 80 for row in rows)
    # Wilson's upper end of 0 of n: z² / (n + z²)
    assert rows[1].error.high == pytest.approx(1.959964**2 / (80 + 1.959964**2), rel=1e-5)


def ridge(x: np.ndarray, y: np.ndarray, strength: float) -> np.ndarray:
    """Weights with an intercept that is not shrunk, from the normal equations."""
    whole = np.column_stack([x, np.ones(len(x))])
    shrunk = strength * np.diag([1.0] * x.shape[1] + [0.0])
    return np.linalg.solve(whole.T @ whole + shrunk, whole.T @ y)


def test_errors_are_those_of_a_ridge_regression_written_out() -> None:
    draw = np.random.default_rng(6)
    labels = np.arange(36) % 3
    x = draw.normal(size=(36, 4)) + 0.9 * np.eye(4)[labels]
    folds = np.array(folds_of([str(i) for i in range(36)], labels.tolist(), 4))
    wrong = 0
    for fold in range(4):
        own, held = x[folds != fold], x[folds == fold]
        own, held = ((part - own.mean(0)) / own.std(0) for part in (own, held))
        targets = 2.0 * np.eye(3)[labels[folds != fold]] - 1
        losses = []
        for strength in _STRENGTHS:
            loss = 0.0
            for i in range(len(own)):
                others = np.arange(len(own)) != i
                weights = ridge(own[others], targets[others], strength)
                loss += float(np.square(np.append(own[i], 1) @ weights - targets[i]).sum())
            losses.append(loss)
        weights = ridge(own, targets, _STRENGTHS[int(np.argmin(losses))])
        scores = np.column_stack([held, np.ones(len(held))]) @ weights
        wrong += int((scores.argmax(1) != labels[folds == fold]).sum())
    images = torch.from_numpy(x).float()
    (row,) = separability(
        nn.Sequential(nn.Identity()), images, torch.from_numpy(labels), layers=["0"], num_folds=4
    )
    assert row.error.count == wrong
    assert 0 < wrong < 24


def test_copies_of_an_image_are_no_evidence_where_they_are_of_one_group() -> None:
    draw = torch.Generator().manual_seed(8)
    x = torch.randn(40, 60, generator=draw).repeat(2, 1)
    labels = (torch.arange(40) % 2).repeat(2)
    names = [str(i) for i in range(40)] * 2
    network = nn.Sequential(nn.Identity())
    (remembered,) = separability(network, x, labels, layers=["0"])
    (honest,) = separability(network, x, labels, layers=["0"], groups=names)
    assert remembered.error.value < 0.2
    assert 0.3 < honest.error.value < 0.7


def test_whole_blocks_are_named_in_the_order_they_run() -> None:
    net = NETWORKS.build(Pick("resnet", depth=8, width=4), num_classes=3)
    expected = ["stem", "stages.0", "stages.1", "pool", "head"]
    assert layers_over_depth(net, torch.zeros(1, 3, 12, 12)) == expected
    net = NETWORKS.build(Pick("vgg"), num_classes=3)  # of whose modules most lie in one
    found = layers_over_depth(net, torch.zeros(1, 3, 32, 32))
    assert len(found) == 8
    assert found[-1] == "head"
    kinds = {type(net.get_submodule(name)) for name in found if name.startswith("features.")}
    assert kinds == {nn.ReLU, nn.MaxPool2d}


def test_lists_of_modules_and_layers_that_do_not_run_are_passed_over() -> None:
    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.unused = nn.Linear(4, 2), nn.Linear(4, 2)
            self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(20))
            self.pair = nn.LSTM(4, 4, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            for block in self.blocks:
                x = F.relu(block(x))
            x, _ = self.pair(x)
            return self.last(x)

    found = layers_over_depth(Listed(), torch.zeros(1, 4))
    numbers = [int(name.removeprefix("blocks.")) for name in found[:-1]]
    assert numbers == sorted(numbers)
    assert (numbers[0], found[-1], len(found)) == (0, "last", 8)
    assert layers_over_depth(nn.Linear(4, 2), torch.zeros(1, 4)) == [""]


@pytest.mark.parametrize(
    ("images", "labels", "kind", "message"),
    [
        (torch.randn(8, 4), torch.zeros(8, dtype=torch.long), ConfigError, "of 1 class"),
        (torch.randn(8, 4), torch.arange(6) % 2, ConfigError, "8 images came with 6 labels"),
        ([], torch.arange(6) % 2, ConfigError, "no images"),
        (torch.randn(4, 4), torch.arange(4) % 2, DataError, "5 folds cannot be made of 4"),
    ],
)
def test_what_cannot_be_probed_is_said(
    images: Tensor | list[Tensor], labels: Tensor, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        separability(nn.Linear(4, 2), images, labels)
