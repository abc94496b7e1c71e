"""Outliers: images far from all others of their class."""

import numpy as np
from jaxtyping import Float, Int

# Deviations above the middle distance, as robust statistics measure them, that make an outlier.
_FAR = 5.0


def outliers(
    components: Float[np.ndarray, "N P"], labels: Int[np.ndarray, "N"]
) -> list[tuple[int, float]]:
    """Find items much farther from the middle of their class than the others are from theirs.

    Args:
        components: Principal components of variance 1.
        labels: Class indices.

    Returns:
        (item, how many times the middle distance), the farthest first.

    Example:
        >>> components = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
        >>> components[17] *= 40
        >>> [item for item, _ in outliers(components, np.arange(60) % 3)]
        [17]
    """
    counts = np.maximum(np.bincount(labels), 1)[:, None]
    sums = np.zeros((len(counts), components.shape[1]), np.float64)
    np.add.at(sums, labels, components)
    distance = np.sqrt(np.square(components - (sums / counts)[labels]).mean(1))
    logs = np.log(np.maximum(distance, 1e-6))
    middle = float(np.median(logs))
    # 1.4826 times the median deviation is the standard deviation of a normal distribution.
    spread = 1.4826 * float(np.median(np.abs(logs - middle))) or 1.0
    far = np.flatnonzero(logs > middle + _FAR * spread)
    far = far[np.argsort(-logs[far], kind="stable")]
    return [(int(i), float(np.exp(logs[i] - middle))) for i in far]
