"""What layers make of the plane equals what was computed by hand and by numpy."""

import numpy as np
import pytest
import torch
from torch import nn

from striate.errors import ConfigError
from striate.seeing.bent_space import bent_space


def linear(weight: list[list[float]], bias: list[float]) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        layer.bias.copy_(torch.tensor(bias))
    return layer


def test_a_layer_of_two_units_shows_its_own_space() -> None:
    hidden = linear([[1.0, 2.0], [0.0, 3.0]], [0.5, 0.0])
    network = nn.Sequential(hidden, nn.ReLU(inplace=True), nn.Linear(2, 3)).train()
    points = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    space = bent_space(network, "1", points, (-1, 1, -2, 2), num_lines=3)
    assert space.frame.is_layer
    assert space.frame.share == 1
    assert space.points.tolist() == [[3.5, 3], [0, 0]]
    assert space.lines.shape == (6, 101, 2)
    # Lines of equal x come first: x = −1, from y = −2 to y = 2; hidden (x + 2 y + 0.5, 3 y).
    assert space.lines[0, [0, 50, -1]].tolist() == [[0, 0], [0, 0], [3.5, 6]]
    # Then those of equal y: y = 2 is the last one, from x = −1 to x = 1.
    assert space.lines[5, [0, 50, -1]].tolist() == [[3.5, 6], [4.5, 6], [5.5, 6]]
    before = bent_space(network, "0", points, (-1, 1, -2, 2), num_lines=3)
    assert before.points.tolist() == [[3.5, 3], [-2.5, -3]]


def test_a_wider_layer_shows_the_principal_directions_of_the_points() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 7), nn.Tanh(), nn.Linear(7, 2))
    points = torch.randn(200, 2)
    space = bent_space(network, "1", points, (-3, 3, -3, 3))
    outputs = network[:2](points).detach().numpy().astype(float)
    values, vectors = np.linalg.eigh(np.cov(outputs.T))
    centred = outputs - outputs.mean(0)
    for axis in range(2):
        vector = vectors[:, -1 - axis]
        vector = vector * np.sign(vector[np.abs(vector).argmax()])
        np.testing.assert_allclose(space.points[:, axis].numpy(), centred @ vector, atol=1e-4)
    assert space.frame.share == pytest.approx(values[-2:].sum() / values.sum(), abs=1e-5)
    assert not space.frame.is_layer


def test_states_of_a_training_can_share_their_axes() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 5), nn.Linear(5, 2))
    points, bounds = torch.randn(50, 2), (-1.0, 1.0, -1.0, 1.0)
    end = bent_space(network, "0", points, bounds)
    with torch.no_grad():
        network[0].bias += end.frame.directions[1]
    moved = bent_space(network, "0", points, bounds, frame=end.frame)
    step = torch.tensor([0.0, 1.0])
    torch.testing.assert_close(moved.points, end.points + step, atol=1e-5, rtol=0)
    torch.testing.assert_close(moved.lines, end.lines + step, atol=1e-5, rtol=0)
    with pytest.raises(ConfigError, match="frame is for one layer"):
        bent_space(network, "1", points, bounds, frame=end.frame)


def test_what_shows_no_space_is_refused() -> None:
    network, points = nn.Linear(2, 2), torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    with pytest.raises(ConfigError, match="two or more of both"):
        bent_space(nn.Linear(2, 1), "", points, (0, 1, 0, 1))
    network.idle = nn.Linear(2, 2)
    with pytest.raises(ConfigError, match="does not run"):
        bent_space(network, "idle", points, (0, 1, 0, 1))
    with pytest.raises(ConfigError, match="2 or more"):
        bent_space(network, "", points, (0, 1, 0, 1), num_lines=1)
    with pytest.raises(ConfigError, match="left < right"):
        bent_space(network, "", points, (0, 1, 1, 0))
