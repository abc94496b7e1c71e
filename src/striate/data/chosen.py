"""Some rows of images that lie on the disk, in an order of their own, without a copy of them."""

from dataclasses import dataclass

import numpy as np


@dataclass(eq=False, repr=False)
class ChosenImages:
    """Images (N, H, W, C), uint8: rows of stored ones, read as they are used."""

    dtype = np.dtype(np.uint8)
    ndim = 4
    stored: np.ndarray
    """(M, H, W, C), perhaps a memory map."""
    rows: np.ndarray
    """(N,) rows of it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """N, H, W, C."""
        return (len(self.rows), *self.stored.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: "int | slice | np.integer | np.ndarray") -> np.ndarray:
        """A copy of the rows: (H, W, C) for a number, else (B, H, W, C)."""
        return np.asarray(self.stored[self.rows[rows]])
