"""A kernel of pictures by landmarks: likeness to some of them stands for likeness to all.

Williams and Seeger 2001, "Using the Nyström method to speed up kernel machines": with the kernel
of the landmarks among themselves, K = V Λ Vᵀ, a picture's likenesses k to them become the vector
Λ^(−1/2) Vᵀ k. The inner product of two such vectors is what the landmarks can tell of the kernel
of the two; the cost grows with the number of pictures, not with its square.
"""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Landmarks"]

# Directions whose share of the largest is smaller are rounding.
_LEAST = 1e-4


class Landmarks:
    """The map from features to coordinates in the landmarks' space."""

    def __init__(self, features: Float[Tensor, "M D"], sizes: tuple[int, ...]) -> None:
        """Learn means, deviations, the width of the kernel and its square root.

        Args:
            features: of the landmarks.
            sizes: the widths of the parts that make up D; each counts alike.
        """
        self.sizes = sizes
        self.mean = features.mean(0)
        self.deviation = features.std(0, correction=0)
        self.points = self._unit(features)
        self.leading = _leading(self._standard(features))
        apart = self._apart(self.points)
        among = apart[apart > 1e-4]
        # The middle distance makes the kernel neither blind nor short-sighted.
        self.width = float(among.median()) if len(among) else 1.0
        values, vectors = torch.linalg.eigh(torch.exp(-apart.double() / self.width))
        used = values > _LEAST * values[-1]
        self.root: Tensor = (vectors[:, used] * values[used].rsqrt()).float()

    @property
    def num_directions(self) -> int:
        """Length of the vectors that `place` gives."""
        return int(self.root.shape[1])

    def place(self, features: Float[Tensor, "N D"]) -> Float[Tensor, "N R"]:
        """Vectors whose inner products approximate exp(−distance² / width)."""
        placed: Tensor = torch.exp(-self._apart(self._unit(features)) / self.width) @ self.root
        return placed

    def components(self, features: Float[Tensor, "N D"]) -> Float[Tensor, "N P"]:
        """Leading principal components of the plain features, each of variance 1.

        A kernel forgets how far away the far ones are; these do not.
        """
        components: Tensor = self._standard(features) @ self.leading
        return components

    def _standard(self, features: Tensor) -> Tensor:
        standard: Tensor = (features - self.mean) / (self.deviation + 1e-4)
        return standard

    def _unit(self, features: Tensor) -> Tensor:
        """Standardised, and each part of length 1, so that no part outweighs another."""
        parts = [
            part / part.norm(dim=1, keepdim=True).clamp(min=1e-6)
            for part in torch.split(self._standard(features), list(self.sizes), dim=1)
        ]
        return torch.cat(parts, 1)

    def _apart(self, unit: Tensor) -> Tensor:
        """Squared distances to the landmarks."""
        own = unit.square().sum(1, keepdim=True)
        theirs = self.points.square().sum(1)
        apart: Tensor = (own + theirs - 2 * unit @ self.points.T).clamp(min=0)
        return apart


def _leading(standard: Tensor, kept: int = 32) -> Tensor:
    """(D, kept): leading principal directions, each divided by its own deviation.

    By subspace iteration from a fixed start: a few products instead of all eigenvalues.
    """
    num, width = standard.shape
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(width, min(2 * kept, width), generator=generator)
    for _ in range(5):
        basis = torch.linalg.qr(standard.T @ (standard @ basis))[0]
    inside = standard @ basis
    values, turn = torch.linalg.eigh(inside.T @ inside / num)
    leading: Tensor = (basis @ turn[:, -kept:]) / values[-kept:].clamp(min=1e-6).sqrt()
    return leading
