"""The loss of a real small network on a plane through the space of its parameters."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.optim.initialise import glorot
from striate.optim.surface import Surface


def plane_surface(
    loss: Callable[[Tensor], Tensor],
    origin: Float[Tensor, "P"],
    first: Float[Tensor, "P"],
    second: Float[Tensor, "P"],
    **picture: Any,
) -> Surface:
    """The surface (u, v) ↦ L(θ₀ + u (θ₁ − θ₀) + v (θ₂ − θ₀)): the plane through three points.

    Args:
        loss: Function of parameter vectors (N, P) to losses (N,).
        origin: Parameters θ₀, at (0, 0).
        first: Parameters θ₁, at (1, 0).
        second: Parameters θ₂, at (0, 1).
        picture: Further arguments of `Surface`: name, start, bounds and so on.

    Source: Goodfellow, Vinyals and Saxe, "Qualitatively Characterizing Neural Network
    Optimization Problems", 2015 (a line); Garipov et al., 2018 (a plane through three points).

    Example:
        >>> corner = torch.zeros(3)
        >>> surface = plane_surface(
        ...     lambda rows: rows.square().sum(1), corner, corner + 1, corner + 2,
        ...     name="bowl", start=(1.0, 1.0), bounds=(-1.0, 2.0, -1.0, 2.0),
        ... )
        >>> surface.values(torch.tensor([[1.0, 1.0]])).tolist()
        [27.0]
    """
    axes = torch.stack([first - origin, second - origin])

    def function(points: Tensor) -> Tensor:
        return loss(origin.to(points) + points @ axes.to(points))

    return Surface(function=function, **picture)


def network_surface(*, num_hidden: int = 12, num_items: int = 100, seed: int = 0) -> Surface:
    """The loss of a two-layer perceptron on digits, on a plane through its start and two ends.

    From one start the network is trained twice, on two halves of the items: (0, 0) is the
    start, (1, 0) and (0, 1) are the two ends. The loss is that over all the items.

    Args:
        num_hidden: Number of hidden units (tanh).
        num_items: Number of images of the digits that ship inside scikit-learn.
        seed: Random seed of the first weights.
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    inputs = torch.from_numpy(pixels[:num_items] / 8.0 - 1.0)
    targets = torch.from_numpy(labels[:num_items]).long()
    network = nn.Sequential(
        nn.Linear(64, num_hidden), nn.Tanh(), nn.Linear(num_hidden, 10)
    ).double()
    glorot(network, seed=seed)
    shapes = [parameter.shape for parameter in network.parameters()]
    origin = nn.utils.parameters_to_vector(network.parameters()).detach()
    half = num_items // 2
    ends = [
        _trained(origin, shapes, inputs[part], targets[part])
        for part in (slice(None, half), slice(half, None))
    ]

    def loss(rows: Tensor) -> Tensor:
        parts = torch.split(rows, 256)
        return torch.cat([_losses(part, shapes, inputs.to(part), targets) for part in parts])

    return plane_surface(
        loss,
        origin,
        ends[0],
        ends[1],
        name="network",
        start=(0.0, 0.0),
        bounds=(-0.4, 1.2, -0.4, 1.2),
        difficulty="A real loss: a smooth slope, then a floor between two trained networks.",
    )


def _losses(rows: Tensor, shapes: Sequence[torch.Size], inputs: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropies (N,) of the perceptrons whose parameters are the rows (N, P)."""
    pieces = torch.split(rows, [shape.numel() for shape in shapes], dim=1)
    weight1, bias1, weight2, bias2 = (
        piece.reshape(-1, *shape) for piece, shape in zip(pieces, shapes, strict=True)
    )
    hidden = torch.tanh(inputs @ weight1.mT + bias1[:, None])  # (N, items, hidden)
    scores = hidden @ weight2.mT + bias2[:, None]  # (N, items, classes)
    right = scores.gather(2, targets.expand(len(rows), -1)[..., None])[..., 0]
    return (scores.logsumexp(2) - right).mean(1)


def _trained(
    origin: Tensor, shapes: Sequence[torch.Size], inputs: Tensor, targets: Tensor
) -> Tensor:
    """The parameters after 60 steps of Adam over all the inputs: the loss is then below 0.1."""
    row = origin.clone().requires_grad_()
    stepper = torch.optim.Adam([row], lr=0.03)
    for _ in range(60):
        stepper.zero_grad()
        _losses(row[None], shapes, inputs, targets)[0].backward()  # type: ignore[no-untyped-call]
        stepper.step()
    return row.detach()
