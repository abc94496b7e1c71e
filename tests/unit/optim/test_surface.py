import pytest
import torch

from striate.errors import ConfigError
from striate.optim import SURFACES
from striate.optim.critical import critical_point
from striate.optim.plane import network_surface, plane_surface
from striate.optim.surface import Surface, saddle
from striate.registry import Pick

NAMED = [name for name in SURFACES if name != "network"]


def alone(surface):
    return lambda point: surface.values(point[None])[0]


@pytest.mark.parametrize("name", NAMED)
def test_minima_are_minima_and_the_lowest_there_is(name):
    surface = SURFACES.build(Pick(name))
    assert surface.name == name
    assert surface.difficulty
    for minimum in surface.minima:
        point = torch.tensor(minimum, dtype=torch.float64)
        # Himmelblau's minima are known to six decimals, where curvatures are near 50.
        found = critical_point(alone(surface), point, gradient_tolerance=1e-4)
        assert found.kind == "minimum"
        assert alone(surface)(point).item() == pytest.approx(surface.lowest, abs=1e-9)
    assert surface.grid(61).min().item() >= surface.lowest - 1e-12


def test_saddle_is_begun_beside_one():
    found = critical_point(alone(saddle()), torch.zeros(2, dtype=torch.float64))
    assert found.kind == "saddle"


def test_ravine_has_the_condition_asked_for():
    surface = SURFACES.build(Pick("ravine", condition=75.0))
    found = critical_point(alone(surface), torch.zeros(2, dtype=torch.float64))
    assert found.eigenvalues == pytest.approx((1, 75))


def test_grid_runs_from_bottom_left():
    surface = Surface("own", lambda p: p[:, 0] + 10 * p[:, 1], (1.0, 2.0), (0.0, 4.0, -1.0, 3.0))
    grid = surface.grid(5)
    assert (grid[0, 0], grid[0, 4], grid[4, 0]) == (-10, -6, 30)


def test_mistakes_are_told():
    with pytest.raises(ConfigError, match="must hold the start"):
        Surface("own", lambda p: p[:, 0], (5.0, 0.0), (0.0, 1.0, 0.0, 1.0))
    surface = Surface("own", lambda p: p.sum(), (0.0, 0.0), (-1.0, 1.0, -1.0, 1.0))
    with pytest.raises(ConfigError, match=r"must give shape \(4,\)"):
        surface.values(torch.zeros(4, 2))


def test_plane_goes_through_its_three_points():
    chance = torch.Generator().manual_seed(9)
    corners = torch.randn(3, 7, generator=chance, dtype=torch.float64)
    surface = plane_surface(
        lambda rows: rows.pow(3).sum(1),
        *corners,
        name="own",
        start=(0.0, 0.0),
        bounds=(-1.0, 1.0, -1.0, 1.0),
    )
    points = torch.tensor([[0.0, 0], [1, 0], [0, 1], [0.5, 0.25]], dtype=torch.float64)
    mixed = torch.cat([corners, corners.mul(torch.tensor([[0.25], [0.5], [0.25]])).sum(0)[None]])
    torch.testing.assert_close(surface.values(points), mixed.pow(3).sum(1))


def test_network_is_a_real_one_that_learned():
    surface = network_surface(num_items=60, num_hidden=6)
    corners = torch.tensor([[0.0, 0], [1, 0], [0, 1]], dtype=torch.float64)
    start, first, second = surface.values(corners).tolist()
    assert 2 < start < 4  # near log 10, a little more for tanh units of digits
    assert max(first, second) < 0.75 * start
    again = network_surface(num_items=60, num_hidden=6)
    assert torch.equal(surface.values(corners), again.values(corners))
    points = corners[1:2].clone().requires_grad_()
    surface.values(points).sum().backward()
    assert bool(points.grad.abs().max() > 0)
