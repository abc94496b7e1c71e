"""Sets of points in the plane: what a linear classifier can and cannot tell apart.

Each function draws points (N, 2), x and y, with their classes. The classes take turns, so that
they differ by one point at most. Nearly all points, and without noise all of them, lie in the
square |x| ≤ 3, |y| ≤ 3 (`BOUND`). Blobs are separated by straight lines; the other five are hard
cases of a linear classifier.

Source: Fei-Fei, Johnson and Yeung, CS231n: lecture 2 (hard cases of a linear classifier:
quadrants, the ring 1 ≤ ‖x‖ ≤ 2, three modes) and its case study (the spiral).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, UInt8

from striate.errors import ConfigError
from striate.randomness import generator

__all__ = [
    "BOUND",
    "NUM_POINTS",
    "PLANE_SETS",
    "PlaneSet",
    "blobs",
    "circles",
    "pixels",
    "points_of",
    "ring",
    "spiral",
    "three_modes",
    "xor",
]

BOUND = 3.0
"""Half the side of the square around the origin in which the sets lie."""
NUM_POINTS = 1_200
"""Points of a named set."""
_MODES = 1.6 * np.array(
    [[math.cos(a), math.sin(a)] for a in (math.pi / 2, math.pi * 7 / 6, math.pi * 11 / 6)]
)
_MODE_RADIUS = 0.8
_TURNS = 2 * math.pi


class PlaneSet(NamedTuple):
    """Points with their classes."""

    points: Float32[np.ndarray, "N 2"]
    """x and y of each point."""
    labels: Int64[np.ndarray, "N"]
    """Index of its class."""
    class_names: tuple[str, ...]


def blobs(num_points: int = 600, noise: float = 0.4, seed: int = 0) -> PlaneSet:
    """Three round clouds around the corners of a triangle.

    Class k is normally distributed with deviation `noise` in x and in y around the point at
    distance 1.8 from the origin and angle 90° + 120° k.

    Args:
        num_points: N.
        noise: Deviation of a cloud.
        seed: Random seed.

    Raises:
        ConfigError: num_points below 1, or negative noise.
    """
    labels, draw = _begin("blobs", num_points, noise, seed, 3)
    angles = math.pi / 2 + _TURNS / 3 * labels
    centres = 1.8 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return _finish(centres, labels, noise, draw, ("top", "left", "right"))


def spiral(num_points: int = 600, noise: float = 0.2, seed: int = 0) -> PlaneSet:
    """Three arms of a spiral.

    A point of arm k lies at radius 2.8 t and angle 4 t + 2π/3 k + ε, in radians, with t uniform
    in [0, 1) and ε normal with deviation `noise`.

    Args:
        num_points: N.
        noise: Deviation of the angle, radians.
        seed: Random seed.

    Raises:
        ConfigError: num_points below 1, or negative noise.

    Source: Johnson and Karpathy, CS231n, "Putting it together: Minimal Neural Network Case
    Study": its arms start at the angles 0, 4 and 8, and have radius 1.

    Example:
        >>> points, labels, names = spiral(num_points=5)
        >>> points.shape, labels.tolist(), names
        ((5, 2), [0, 1, 2, 0, 1], ('first arm', 'second arm', 'third arm'))
    """
    labels, draw = _begin("spiral", num_points, noise, seed, 3)
    along = _uniform(draw, len(labels), 1)[:, 0]
    angles = 4 * along + _TURNS / 3 * labels + noise * _normal(draw, len(labels), 1)[:, 0]
    points = 2.8 * along[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return _finish(points, labels, 0, draw, ("first arm", "second arm", "third arm"))


def circles(num_points: int = 600, noise: float = 0.15, seed: int = 0) -> PlaneSet:
    """Two circles around the origin, of radius 1 and 2.

    The angle is uniform; `noise` is added to both coordinates.

    Args:
        num_points: N.
        noise: Deviation of what is added to x and to y.
        seed: Random seed.

    Raises:
        ConfigError: num_points below 1, or negative noise.
    """
    labels, draw = _begin("circles", num_points, noise, seed, 2)
    angles = _TURNS * _uniform(draw, len(labels), 1)[:, 0]
    points = (1.0 + labels)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return _finish(points, labels, noise, draw, ("inner", "outer"))


def xor(num_points: int = 600, noise: float = 0.0, seed: int = 0) -> PlaneSet:
    """Opposite quadrants are of one class: where x y > 0 of the one, where x y < 0 of the other.

    Points are uniform in the square |x| ≤ 3, |y| ≤ 3, in the two quadrants of their class;
    `noise` is added to both coordinates afterwards, and takes some across the axes.

    Args:
        num_points: N.
        noise: Deviation of what is added to x and to y.
        seed: Random seed.

    Raises:
        ConfigError: num_points below 1, or negative noise.
    """
    labels, draw = _begin("xor", num_points, noise, seed, 2)
    points = _where(draw, labels, lambda p: p[:, 0] * p[:, 1] > 0)
    return _finish(points, labels, noise, draw, ("first and third", "second and fourth"))


def ring(num_points: int = 600, noise: float = 0.0, seed: int = 0) -> PlaneSet:
    """The ring 1 ≤ ‖x‖ ≤ 2, and everything else in the square |x| ≤ 3, |y| ≤ 3.

    Both classes are uniform over their area; `noise` is added to both coordinates afterwards.

    Args:
        num_points: N.
        noise: Deviation of what is added to x and to y.
        seed: Random seed.

    Raises:
        ConfigError: num_points below 1, or negative noise.
    """
    labels, draw = _begin("ring", num_points, noise, seed, 2)
    points = _where(draw, labels, _in_ring)
    return _finish(points, labels, noise, draw, ("ring", "elsewhere"))


def three_modes(num_points: int = 600, noise: float = 0.0, seed: int = 0) -> PlaneSet:
    """Three discs of one class, and everything else in the square |x| ≤ 3, |y| ≤ 3.

    The discs have radius 0.8; their middles lie at distance 1.6 from the origin, at 90°, 210° and
    330°. Both classes are uniform over their area; `noise` is added to both coordinates
    afterwards.

    Args:
        num_points: N.
        noise: Deviation of what is added to x and to y.
        seed: Random seed.

    Raises:
        ConfigError: num_points below 1, or negative noise.
    """
    labels, draw = _begin("three modes", num_points, noise, seed, 2)
    points = _where(draw, labels, _in_mode)
    return _finish(points, labels, noise, draw, ("modes", "elsewhere"))


PLANE_SETS: dict[str, Callable[..., PlaneSet]] = {
    "blobs": blobs,
    "spiral": spiral,
    "circles": circles,
    "xor": xor,
    "ring": ring,
    "three-modes": three_modes,
}
"""The sets by name."""


def pixels(points: Float32[np.ndarray, "N 2"]) -> UInt8[np.ndarray, "N 1 2 1"]:
    """Points as grey images, one pixel high: the first pixel is x, the second y.

    The square |x| ≤ 3, |y| ≤ 3 has 256 steps of 0.024 along each axis; what lies outside comes to
    its border.

    Example:
        >>> pixels(np.array([[-3.0, 3.0]], dtype=np.float32)).ravel().tolist()
        [0, 255]
    """
    steps = (points.clip(-BOUND, BOUND) + BOUND) * (255 / (2 * BOUND))
    return steps.round().astype(np.uint8)[:, None, :, None]


def points_of(images: UInt8[np.ndarray, "N 1 2 1"]) -> Float32[np.ndarray, "N 2"]:
    """The points that images of `pixels` stand for."""
    shares = np.asarray(images, np.float32).reshape(len(images), 2) / 255
    return np.asarray(2 * BOUND * shares - BOUND, np.float32)


def _in_ring(points: np.ndarray) -> np.ndarray:
    radius = np.hypot(points[:, 0], points[:, 1])
    return np.asarray((radius >= 1) & (radius <= 2))


def _in_mode(points: np.ndarray) -> np.ndarray:
    distances = np.linalg.norm(points[:, None] - _MODES, axis=2)
    return np.asarray(distances.min(axis=1) <= _MODE_RADIUS)


def _begin(
    name: str, num_points: int, noise: float, seed: int, num_classes: int
) -> tuple[np.ndarray, torch.Generator]:
    """The classes of the points, and the generator of a set."""
    if num_points < 1:
        raise ConfigError(f"{name}: num_points={num_points} must be 1 or more.")
    if not 0 <= noise < math.inf:
        raise ConfigError(f"{name}: noise={noise} is a deviation; it must be 0 or more.")
    labels = np.arange(num_points, dtype=np.int64) % num_classes
    return labels, generator(seed, "plane", name)


def _finish(
    points: np.ndarray,
    labels: np.ndarray,
    noise: float,
    draw: torch.Generator,
    class_names: tuple[str, ...],
) -> PlaneSet:
    moved = points + noise * _normal(draw, len(points), 2)
    return PlaneSet(moved.astype(np.float32), labels, class_names)


def _uniform(draw: torch.Generator, rows: int, columns: int) -> Float64[np.ndarray, "R C"]:
    return torch.rand(rows, columns, generator=draw, dtype=torch.float64).numpy()


def _normal(draw: torch.Generator, rows: int, columns: int) -> Float64[np.ndarray, "R C"]:
    return torch.randn(rows, columns, generator=draw, dtype=torch.float64).numpy()


def _where(
    draw: torch.Generator, labels: np.ndarray, is_first: Callable[[np.ndarray], np.ndarray]
) -> Float64[np.ndarray, "N 2"]:
    """Points of the square, uniform over the area of their class: those elsewhere are drawn anew.

    What is tested is the float32 value that is given out, so that rounding takes none across.
    """
    points, missing = np.empty((len(labels), 2)), np.arange(len(labels))
    while len(missing):
        tried = (2 * BOUND * (_uniform(draw, len(missing), 2) - 0.5)).astype(np.float32)
        fits = is_first(tried.astype(np.float64)) == (labels[missing] == 0)
        points[missing[fits]] = tried[fits]
        missing = missing[~fits]
    return points
