"""The two kinds of array that every equation here is written with."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Labels", "PerAxis"]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

PerAxis = int | tuple[int, ...]
"""One number for all spatial axes, or one number for each."""
