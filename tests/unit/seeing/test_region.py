"""Decision regions lie where they were computed by hand, in the order that pictures have."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.errors import ConfigError
from striate.networks import NETWORKS
from striate.registry import Pick
from striate.seeing.region import decision_regions, grid, image_plane


def linear(weight: list[list[float]], bias: list[float]) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        layer.bias.copy_(torch.tensor(bias))
    return layer


def test_a_grid_is_read_like_a_picture() -> None:
    points = grid((-1, 3, 0, 3), (3, 4))
    assert points.shape == (3, 4, 2)
    assert points[0].tolist() == [[-0.5, 2.5], [0.5, 2.5], [1.5, 2.5], [2.5, 2.5]]
    assert points[:, 0].tolist() == [[-0.5, 2.5], [-0.5, 1.5], [-0.5, 0.5]]


def test_two_classes_of_a_linear_network_meet_at_the_straight_line_of_their_difference() -> None:
    network = linear([[2.0, -1.0], [-1.0, 1.0]], [0.5, -0.25])
    bounds, size = (-2.0, 3.0, -4.0, 4.0), (160, 100)
    scores = decision_regions(network, bounds, size)
    # The scores are equal where 3 x − 2 y + 0.75 = 0: x = (2 y − 0.75) / 3.
    x = -2 + 5 * (np.arange(100) + 0.5) / 100
    y = 4 - 8 * (np.arange(160) + 0.5) / 160
    expected = 3 * x[None, :] - 2 * y[:, None] + 0.75
    np.testing.assert_allclose((scores[..., 0] - scores[..., 1]).numpy(), expected, atol=1e-5)
    row = 79  # y = 0.025: class 1 to the left of x = −0.2333
    change = int((scores[row].argmax(1) == 0).int().argmax())
    assert x[change - 1] < -0.7 / 3 < x[change]


def test_points_are_made_into_what_the_network_takes() -> None:
    network = NETWORKS.build(Pick("linear"), num_classes=2, in_channels=1, input_size=(1, 2))
    with torch.no_grad():
        network.get_submodule("head").weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))  # type: ignore[union-attr]
    scores = decision_regions(
        network, (0, 2, 0, 2), (2, 2), lambda points: (10 * points).view(-1, 1, 1, 2)
    )
    assert scores[0].tolist() == [[5, 15], [15, 15]]
    assert scores[1].tolist() == [[5, 5], [15, 5]]


def test_the_plane_of_three_images_keeps_their_distances_and_angles() -> None:
    torch.manual_seed(0)
    images = torch.randn(3, 3, 5, 4)
    network = nn.Sequential(nn.Flatten(), nn.Linear(60, 4))
    plane = image_plane(network, images, (9, 7))
    flat = images.flatten(1).double()
    torch.testing.assert_close(torch.cdist(plane.corners, plane.corners).double(),
                               torch.cdist(flat, flat), atol=1e-4, rtol=0)  # fmt: skip
    assert plane.corners[0].tolist() == [0, 0]
    assert plane.corners[1, 1] == 0
    assert plane.corners[2, 1] > 0
    made = images[0] + torch.einsum("pc,cdhw->pdhw", plane.corners, plane.axes)
    torch.testing.assert_close(made, images, atol=1e-5, rtol=1e-5)
    # A linear network is linear on the plane: its values at the corners fix it everywhere.
    points = grid(plane.bounds, (9, 7))
    system = torch.cat([plane.corners, torch.ones(3, 1)], dim=1)
    planes = torch.linalg.solve(system, network(images))
    expected = torch.cat([points, torch.ones(9, 7, 1)], dim=2) @ planes
    torch.testing.assert_close(plane.scores, expected.detach(), atol=1e-4, rtol=1e-4)


def test_the_margin_is_a_share_of_what_the_images_span() -> None:
    images = torch.tensor([[0.0, 0.0, 0.0], [4.0, 0.0, 0.0], [-2.0, 3.0, 0.0]])
    plane = image_plane(nn.Linear(3, 2), images, (2, 2), margin=0.5)
    assert plane.corners.tolist() == [[0, 0], [4, 0], [-2, 3]]
    assert plane.bounds == (-5, 7, -1.5, 4.5)
    assert plane.axes.tolist() == [[1, 0, 0], [0, 1, 0]]


def test_large_planes_are_computed_in_parts_without_a_difference() -> None:
    torch.manual_seed(0)
    network = NETWORKS.build(Pick("resnet", depth=8, width=4), num_classes=3).train()
    images = torch.randn(3, 3, 12, 12)
    whole = image_plane(network, images, (9, 9)).scores  # 81 images, 32 at once
    plane = image_plane(network, images, (1, 1))
    middle = images[0] + torch.einsum("c,cdhw->dhw", grid(plane.bounds, (1, 1))[0, 0], plane.axes)
    expected = network.eval()(middle[None])[0]
    torch.testing.assert_close(whole[4, 4], expected.detach(), atol=1e-5, rtol=1e-4)


def test_what_spans_no_plane_and_fits_no_layer_is_refused() -> None:
    network, line = nn.Linear(2, 2), torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    with pytest.raises(ConfigError, match="on a line"):
        image_plane(network, line)
    with pytest.raises(ConfigError, match="on a line"):
        image_plane(network, torch.zeros(3, 2))
    with pytest.raises(ConfigError, match="through three"):
        image_plane(network, line[:2])
    with pytest.raises(ConfigError, match="left < right"):
        decision_regions(network, (1, 1, 0, 2))
    with pytest.raises(ConfigError, match="1 or more"):
        decision_regions(network, (0, 1, 0, 1), (0, 3))
    with pytest.raises(ConfigError, match="scores of classes"):
        decision_regions(nn.Unflatten(1, (2, 1)), (0, 1, 0, 1))
    assert math.isfinite(float(decision_regions(network, (0, 1, 0, 1)).sum()))


def test_a_point_of_the_plane_does_not_depend_on_the_others() -> None:
    class Noticing(nn.Module):
        """Would mix the items of a batch in training mode."""

        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(2)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.norm(x)
            return y

    network = Noticing().train()
    scores = decision_regions(network, (0, 2, 0, 2), (2, 2))
    expected = grid((0, 2, 0, 2), (2, 2)) / math.sqrt(1 + 1e-5)
    torch.testing.assert_close(scores, expected)
