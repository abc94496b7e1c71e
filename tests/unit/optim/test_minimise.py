import pytest
import torch

from striate.errors import ConfigError
from striate.optim.minimise import hessian, local_search, newton, random_search


def bowl(x):
    return (x[0] - 1.5) ** 2 + 4 * (x[1] + 0.5) ** 2 + 0.3


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def saddle(x):
    return x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 2


def at(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def test_random_search_keeps_the_best_of_its_points():
    found = random_search(bowl, at(-3, -2), at(2, 5), num_trials=500, seed=3)
    assert found.value == bowl(found.point).item()
    assert len(found.values) == 500
    assert list(found.values) == sorted(found.values, reverse=True)
    assert bool((found.point >= at(-3, -2)).all() and (found.point <= at(2, 5)).all())
    again = random_search(bowl, at(-3, -2), at(2, 5), num_trials=500, seed=3)
    assert torch.equal(found.point, again.point)
    other = random_search(bowl, at(-3, -2), at(2, 5), num_trials=500, seed=4)
    assert not torch.equal(found.point, other.point)


def test_local_search_walks_down():
    found = local_search(bowl, at(-2, 3), radius=0.3, num_trials=800)
    torch.testing.assert_close(found.point, at(1.5, -0.5), atol=0.1, rtol=0)
    assert found.values[0] == bowl(at(-2, 3)).item()
    assert list(found.values) == sorted(found.values, reverse=True)


def test_search_and_descent_side_by_side():
    """With the same number of evaluations, what uses derivatives comes nearer."""
    corner = at(3, 3)
    by_chance = random_search(rosenbrock, -corner, corner, num_trials=300).value
    by_walking = local_search(rosenbrock, at(-1.4, 1.6), num_trials=300).value
    by_newton = newton(rosenbrock, at(-1.4, 1.6), max_steps=20).value
    assert by_newton < 1e-12 < min(by_chance, by_walking)


def test_newton_solves_a_quadratic_in_one_step():
    found = newton(bowl, at(-7, 9))
    assert len(found.values) == 2
    torch.testing.assert_close(found.point, at(1.5, -0.5))
    assert found.stopped == "gradient"


def test_plain_newton_goes_to_the_saddle_and_saddle_free_passes_it():
    plain = newton(saddle, at(0.8, 0.2))
    torch.testing.assert_close(plain.point, at(0, 0), atol=1e-8, rtol=0)
    free = newton(saddle, at(0.8, 0.2), saddle_free=True)
    torch.testing.assert_close(free.point, at(0, 1), atol=1e-6, rtol=0)
    assert free.value == pytest.approx(-0.5)
    assert list(free.values) == sorted(free.values, reverse=True)


def test_newton_says_why_it_stopped():
    flat = newton(lambda x: x[0] + 0 * x[1], at(1, 1))
    assert flat.stopped == "singular"
    short = newton(rosenbrock, at(-1.4, 1.6), max_steps=1)
    assert short.stopped == "steps"
    assert short.gradient_norm > 1e-8


def test_hessian_is_that_of_central_differences():
    point, step = at(0.7, -0.3), 1e-4
    expected = torch.zeros(2, 2, dtype=torch.float64)
    for i in range(2):
        for j in range(2):
            a, b = torch.eye(2, dtype=torch.float64)[[i, j]] * step
            corners = (point + a + b, point + a - b, point - a + b, point - a - b)
            values = [rosenbrock(corner) for corner in corners]
            expected[i, j] = (values[0] - values[1] - values[2] + values[3]) / (4 * step**2)
    # Rounding: 1e-16 · f / step² = 1e-7 relative to curvatures of hundreds.
    torch.testing.assert_close(hessian(rosenbrock, point), expected, rtol=1e-5, atol=1e-4)


def test_bad_numbers_are_told():
    with pytest.raises(ConfigError, match="low < high"):
        random_search(bowl, at(1, 1), at(0, 2))
    with pytest.raises(ConfigError, match="radius above 0"):
        local_search(bowl, at(1, 1), radius=0.0)
    with pytest.raises(ConfigError, match="tolerance=0"):
        newton(bowl, at(1, 1), tolerance=0.0)
