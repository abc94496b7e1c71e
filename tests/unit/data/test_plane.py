"""Sets of points in the plane follow their definitions, and are as hard as they say."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.api.request import Request
from striate.data import open_source, plane
from striate.data.plane import (
    BOUND,
    PLANE_SETS,
    PlaneSet,
    blobs,
    circles,
    ring,
    spiral,
    three_modes,
    xor,
)
from striate.errors import ConfigError
from striate.recipes import RECIPES


def linear_accuracy(found: PlaneSet) -> float:
    """Of a linear classifier by least squares, on the points it was fitted to."""
    rows = np.c_[found.points, np.ones(len(found.points))].astype(float)
    weights = np.linalg.lstsq(rows, np.eye(len(found.class_names))[found.labels], rcond=None)[0]
    return float(((rows @ weights).argmax(1) == found.labels).mean())


def neighbour_accuracy(found: PlaneSet, other: PlaneSet) -> float:
    """Of the nearest point, on points that were drawn anew."""
    distances = np.linalg.norm(other.points[:, None] - found.points, axis=2)
    return float((found.labels[distances.argmin(1)] == other.labels).mean())


@pytest.mark.parametrize("name", PLANE_SETS)
def test_the_seed_decides_all_and_classes_take_turns(name: str) -> None:
    make = PLANE_SETS[name]
    found, again, other = make(num_points=200), make(num_points=200), make(num_points=200, seed=1)
    np.testing.assert_array_equal(found.points, again.points)
    assert not np.isclose(found.points, other.points).all(1).any()
    assert (found.points.shape, found.points.dtype) == ((200, 2), np.float32)
    assert found.labels.dtype == np.int64
    counts = np.bincount(found.labels)
    assert len(counts) == len(found.class_names)
    assert counts.max() - counts.min() <= 1
    assert np.abs(make(num_points=200, noise=0.0).points).max() <= BOUND


@pytest.mark.parametrize("name", PLANE_SETS)
def test_only_blobs_are_for_a_linear_classifier(name: str) -> None:
    found, other = PLANE_SETS[name](num_points=600), PLANE_SETS[name](num_points=600, seed=1)
    assert neighbour_accuracy(found, other) > 0.9
    if name == "blobs":
        assert linear_accuracy(found) > 0.98
    else:
        assert linear_accuracy(found) < 0.65


def test_quadrants_follow_the_sign_of_the_product() -> None:
    points, labels, _ = xor(num_points=1000)
    np.testing.assert_array_equal(labels, (points.prod(1) < 0).astype(int))
    quadrants = (points > 0) @ [1, 2]
    assert np.bincount(quadrants).min() > 200  # 250 each, deviation 14


def test_the_ring_lies_between_radius_1_and_2_and_fills_its_area() -> None:
    points, labels, _ = ring(num_points=4000)
    radius = np.hypot(*points.astype(float).T)
    np.testing.assert_array_equal(labels == 0, (radius >= 1) & (radius <= 2))
    # The inner half of the ring's width has 1.25 / 3 of its area; deviation 0.011.
    assert (radius[labels == 0] < 1.5).mean() == pytest.approx(1.25 / 3, abs=0.04)
    # Inside lies π of 36 − 3π: the rest of the square without the ring; deviation 0.007.
    assert (radius[labels == 1] < 1).mean() == pytest.approx(math.pi / (36 - 3 * math.pi), abs=0.03)


def test_three_discs_are_the_modes() -> None:
    points, labels, _ = three_modes(num_points=3000)
    low = 1.6 * math.sqrt(3) / 2
    centres = np.array([[0, 1.6], [-low, -0.8], [low, -0.8]])
    distances = np.linalg.norm(points[:, None] - centres, axis=2)
    np.testing.assert_array_equal(labels == 0, distances.min(1) <= 0.8)
    each = np.bincount(distances.argmin(1)[labels == 0])
    assert each.min() > 430  # 500 each, deviation 18


def test_circles_and_arms_without_noise_are_curves() -> None:
    points, labels, _ = circles(num_points=300, noise=0)
    np.testing.assert_allclose(np.hypot(*points.T), 1 + labels, rtol=1e-6)
    points, labels, _ = spiral(num_points=300, noise=0)
    radius, angle = np.hypot(*points.T), np.arctan2(points[:, 1], points[:, 0])
    turned = angle - 4 * radius / 2.8 - 2 * np.pi / 3 * labels
    np.testing.assert_allclose(np.cos(turned), 1, atol=1e-4)
    assert radius.max() > 2.5
    assert radius.min() < 0.2


def test_noise_is_a_deviation() -> None:
    points, labels, _ = blobs(num_points=6000, noise=0.3)
    for k in range(3):
        angle = math.pi / 2 + 2 * math.pi / 3 * k
        own = points[labels == k]
        np.testing.assert_allclose(own.std(0), 0.3, atol=0.015)
        expected = [1.8 * math.cos(angle), 1.8 * math.sin(angle)]
        np.testing.assert_allclose(own.mean(0), expected, atol=0.03)
    still, moved = xor(num_points=4000), xor(num_points=4000, noise=0.2)
    np.testing.assert_allclose((moved.points - still.points).std(0), 0.2, atol=0.01)


@pytest.mark.parametrize("wrong", [{"num_points": 0}, {"noise": -0.1}, {"noise": math.nan}])
def test_what_is_no_number_of_points_and_no_deviation_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        spiral(**wrong)  # type: ignore[arg-type]


def test_points_are_kept_to_half_a_step() -> None:
    drawn = plane.spiral(400)
    images = plane.pixels(drawn.points)
    assert images.shape == (400, 1, 2, 1)
    inside = np.abs(drawn.points).max(axis=1) <= plane.BOUND
    errors = np.abs(plane.points_of(images) - drawn.points)[inside]
    assert errors.max() <= 3 / 255 + 1e-6
    corners = np.array([[-9.0, 9.0], [3.0, -3.0]], dtype=np.float32)
    assert plane.points_of(plane.pixels(corners)).tolist() == [[-3, 3], [3, -3]]


@pytest.mark.parametrize("name", plane.PLANE_SETS)
def test_each_set_is_known_by_name_and_has_a_recipe(name: str) -> None:
    source = open_source(name)
    assert len(source.items) == plane.NUM_POINTS
    assert source.class_names == plane.PLANE_SETS[name](1).class_names
    recipe = RECIPES[name]()
    assert recipe.data.source == name
    assert recipe.data.input_size == (1, 2)
    drawn = plane.PLANE_SETS[name](plane.NUM_POINTS)
    item = next(item for item in source.items if item.key[1] == 7)
    np.testing.assert_array_equal(source.read(item), plane.pixels(drawn.points[7:8])[0, ..., 0])
    assert item.label == drawn.labels[7]


def test_a_folder_of_such_a_name_is_meant_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for label in ("a", "b"):
        (tmp_path / "circles" / label).mkdir(parents=True)
        for n in range(2):
            Image.new("L", (4, 4), 50 * n).save(tmp_path / "circles" / label / f"{n}.png")
    monkeypatch.chdir(tmp_path)
    assert open_source("circles").class_names == ("a", "b")
    assert not Request("circles").is_recipe
