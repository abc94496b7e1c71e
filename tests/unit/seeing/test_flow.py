"""Sizes of outputs and gradients equal what was computed by hand, and judgements follow."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from striate.errors import ConfigError
from striate.seeing.flow import FlowRow, flow, judge


def half_square(network: nn.Module, batch: Tensor) -> Tensor:
    return 0.5 * network(batch).square().sum()


def chain(activation: type[nn.Module], depth: int, gain: float = 1.0) -> nn.Sequential:
    """Layers of 8 units whose weights are a turn, times a gain."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(depth):
        layer = nn.Linear(8, 8, bias=False)
        nn.init.orthogonal_(layer.weight, gain)
        layers += [layer, activation()]
    return nn.Sequential(*layers)


def verdicts(rows: list[FlowRow]) -> dict[str, str]:
    return {judgement.layer: judgement.verdict for judgement in judge([rows])}


def test_two_linear_layers_by_hand() -> None:
    network = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 2, bias=False))
    x = torch.randn(5, 3)
    first, second = (layer.weight.detach().numpy().astype(float) for layer in network)
    inputs = x.numpy().astype(float)
    hidden = inputs @ first.T
    outputs = hidden @ second.T
    # L = ½ Σ y²: ∂L/∂y = y, ∂L/∂h = y W₂, ∂L/∂W₂ = yᵀ h, ∂L/∂W₁ = (y W₂)ᵀ x.
    expected = [
        ((hidden**2).mean(), outputs @ second, (outputs @ second).T @ inputs),
        ((outputs**2).mean(), outputs, outputs.T @ hidden),
    ]
    for row, (square, slope, of_weights) in zip(
        flow(network, x, half_square), expected, strict=True
    ):
        assert row.activation == pytest.approx(square, rel=1e-5)
        assert row.output_gradient == pytest.approx(np.linalg.norm(slope), rel=1e-5)
        assert row.weight_gradient == pytest.approx(np.linalg.norm(of_weights), rel=1e-5)
        assert row.zeros == 0


@pytest.mark.parametrize("is_in_place", [False, True])
def test_a_rectifier_in_place_changes_no_row_but_its_own(is_in_place: bool) -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=is_in_place), nn.Flatten())
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
        network[0].bias.zero_()
    rows = flow(network, torch.tensor([[3.0, 4.0]]), lambda n, x: n(x).sum())
    linear, rectifier, flat = rows
    assert (linear.layer, linear.activation, linear.zeros) == ("0", 12.5, 0)  # (3, −4)
    assert linear.output_gradient == 1
    assert linear.weight_gradient == pytest.approx(math.sqrt(9 + 16 + 1))  # x for one unit, bias 1
    assert (rectifier.activation, rectifier.zeros) == (4.5, 0.5)  # (3, 0)
    assert rectifier.output_gradient == pytest.approx(math.sqrt(2))
    assert rectifier.weight_gradient is None
    assert (flat.activation, flat.output_gradient) == (4.5, pytest.approx(math.sqrt(2)))


def test_a_layer_before_all_parameters_has_a_gradient_and_the_batch_stays_as_it_is() -> None:
    network, x = (
        nn.Sequential(nn.Identity(), nn.ReLU(inplace=True), nn.Linear(2, 1)),
        -torch.ones(3, 2),
    )
    rows = flow(network, x, lambda n, b: n(b).sum())
    assert [row.layer for row in rows] == ["0", "1", "2"]
    assert rows[1].output_gradient == pytest.approx(
        math.sqrt(3) * float(network[2].weight.detach().norm()), rel=1e-5
    )
    assert (rows[0].output_gradient, rows[1].zeros) == (0, 1)
    assert not x.requires_grad
    assert x.tolist() == [[-1, -1]] * 3


def test_a_layer_that_runs_twice_counts_once() -> None:
    rectifier = nn.ReLU()
    network = nn.Sequential(rectifier, nn.Linear(2, 2, bias=False), rectifier)
    with torch.no_grad():
        network[1].weight.copy_(torch.eye(2))
    (row, _) = flow(network, torch.tensor([[1.0, -1.0]]), lambda n, x: n(x).sum())
    assert (row.layer, row.activation, row.zeros) == ("0", 0.5, 0.5)
    # Slopes (1, 1) at its second output and (1, 0) at its first one.
    assert row.output_gradient == pytest.approx(math.sqrt(3))


def test_sigmoids_pass_at_most_a_quarter_and_vanish() -> None:
    network = chain(nn.Sigmoid, 12)
    rows = {row.layer: row for row in flow(network, torch.randn(6, 8), half_square)}
    last = rows["23"].output_gradient
    for depth in range(12):
        passed = rows[str(2 * depth + 1)].output_gradient / last
        assert passed <= 0.25 ** (11 - depth) * (1 + 1e-5)
    found = verdicts(list(rows.values()))
    assert found["1"] == found["11"] == "vanishing"
    assert found["23"] == found["22"] == found["21"] == "sound"


def test_turns_are_sound_and_gains_explode_by_their_power() -> None:
    rows = flow(chain(nn.Identity, 12), torch.randn(6, 8), half_square)
    assert set(verdicts(rows).values()) == {"sound"}
    assert all(row.output_gradient == pytest.approx(rows[-1].output_gradient) for row in rows)
    rows = flow(chain(nn.Identity, 12, gain=3.0), torch.randn(6, 8), half_square)
    by = {judgement.layer: judgement for judgement in judge([rows])}
    assert by["1"].ratio == pytest.approx(3.0**11, rel=1e-3)
    assert by["9"].verdict == "exploding"  # 3⁷ = 2,187
    assert by["11"].verdict == "sound"  # 3⁶ = 729


def test_a_layer_without_anything_but_zeros_is_dead() -> None:
    network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    with torch.no_grad():
        network[0].bias.fill_(-100)
    rows = flow(network, torch.randn(8, 4), half_square)
    assert verdicts(rows) == {"0": "vanishing", "1": "dead", "2": "sound"}
    assert rows[0].weight_gradient == 0
    lively = [replace(row, zeros=0.5) for row in rows]
    assert judge([rows, lively, lively])[1].verdict == "sound"  # dead at one of three moments
    assert judge([rows, rows, lively])[1].verdict == "dead"


def test_what_is_not_finite_at_any_moment_explodes() -> None:
    row = FlowRow("a", 1.0, 1.0, None, 0.0)
    last = replace(row, layer="b")
    moments = [[row, last]] * 4 + [[replace(row, activation=math.inf), last]]
    assert [of.verdict for of in judge(moments)] == ["exploding", "sound"]
    nothing = [[replace(row, output_gradient=0.0), replace(last, output_gradient=0.0)]]
    (of, _) = judge(nothing)
    assert of.verdict == "sound"
    assert math.isnan(of.ratio)


def test_the_mode_counts_and_nothing_is_left() -> None:
    network = nn.Sequential(nn.Linear(4, 400), nn.BatchNorm1d(400), nn.Dropout(0.5))
    network[0].weight.requires_grad_(False)
    x = torch.randn(50, 4) + 3
    state, draws = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    rows = flow(network, x, half_square)
    assert rows[2].zeros == pytest.approx(0.5, abs=0.02)
    assert rows[1].activation == pytest.approx(1, abs=1e-3)  # normalised by the batch itself
    assert (rows[0].weight_gradient or 0) > 0
    assert flow(network, x, half_square) == rows  # dropout draws from a stream of its own
    assert flow(network, x, half_square, seed=1)[2] != rows[2]
    assert torch.equal(torch.get_rng_state(), draws)
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name])
    still = flow(network.eval(), x, half_square)
    assert still[2].zeros < 0.01
    assert still[1].activation > 2  # running statistics have not seen these inputs


def test_tuples_and_parametrised_weights_have_rows() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.LSTM(3, 4), parametrizations.weight_norm(nn.Linear(4, 2))

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.head(self.cell(x)[0])
            return y

    rows = flow(Recurrent(), torch.randn(5, 2, 3), half_square)
    assert [row.layer for row in rows] == ["cell", "head"]
    assert all((row.weight_gradient or 0) > 0 for row in rows)
    assert rows[0].output_gradient > 0


def test_what_cannot_be_judged_is_refused() -> None:
    network, x = nn.Linear(2, 2), torch.randn(3, 2)
    with pytest.raises(ConfigError, match="one number"):
        flow(network, x, lambda n, b: n(b))
    with pytest.raises(ConfigError, match="without a gradient"):
        flow(network, x, lambda n, b: b.sum())
    with pytest.raises(ConfigError, match="no moment"):
        judge([])
