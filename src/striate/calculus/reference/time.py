"""Backpropagation through time: the same cell, T times over.

Unrolled, a recurrent network is a deep network whose layers share their weights. Two sums are
all that is new: the gradient of a state comes from its own output and from the next step, and
the gradient of a shared weight is the sum over all steps.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from striate.calculus.reference.array import Array

__all__ = ["through_time", "through_time_bp"]


def through_time(
    cell: Callable[..., Array],
    x: Float[Array, "B T C"],
    state: Float[Array, "B *Z"],
    *weights: Array,
) -> Float[Array, "B T *Z"]:
    """The state after each step; the same weights are used at every one.

    Args:
        cell: Function from (input, state, *weights) to the next state, such as `lstm_cell`.
        x: Inputs of all steps.
        state: State before the first step.
        weights: Weights in the order in which the cell takes them.

    Example:
        >>> from striate.calculus.reference.recurrent import simple_rnn_cell
        >>> x, h = np.zeros((1, 3, 1)), np.full((1, 1), 0.5)
        >>> states = through_time(simple_rnn_cell, x, h, np.eye(1), np.eye(1), np.zeros(1))
        >>> states.round(4).ravel()  # h_1, h_2, h_3
        array([0.4621, 0.4318, 0.4068])
    """
    states = []
    for t in range(x.shape[1]):
        state = cell(x[:, t], state, *weights)
        states.append(state)
    return np.stack(states, axis=1)


def through_time_bp(
    cell: Callable[..., Array],
    cell_bp: Callable[..., tuple[Array, ...]],
    p: Float[Array, "B T *Z"],
    x: Float[Array, "B T C"],
    state: Float[Array, "B *Z"],
    *weights: Array,
) -> tuple[Array, ...]:
    """The gradients by x, by the first state and by each weight.

    Source: Rumelhart, Hinton & Williams (1986), Learning representations by back-propagating
    errors, on iterative nets; Werbos (1990), Backpropagation through time.

    Example:
        >>> from striate.calculus.reference.recurrent import simple_rnn_cell, simple_rnn_cell_bp
        >>> x, h, p = np.zeros((1, 3, 1)), np.full((1, 1), 0.5), np.array([[[0.0], [0.0], [1.0]]])
        >>> weights = np.eye(1), np.eye(1), np.zeros(1)
        >>> dx, *_ = through_time_bp(simple_rnn_cell, simple_rnn_cell_bp, p, x, h, *weights)
        >>> dx.round(4).ravel()  # the further back, the smaller
        array([0.5339, 0.6789, 0.8345])
    """
    after = through_time(cell, x, state, *weights)  # B T *Z
    before = np.concatenate([state[:, None], after[:, :-1]], axis=1)  # B T *Z
    dx = np.zeros_like(x)
    dstate = np.zeros_like(state)
    dweights = [np.zeros_like(weight) for weight in weights]
    for t in reversed(range(x.shape[1])):
        delta = p[:, t] + dstate  # from this step's output, and from the future
        dx[:, t], dstate, *dstep = cell_bp(delta, x[:, t], before[:, t], *weights)
        dweights = [total + part for total, part in zip(dweights, dstep, strict=True)]
    return dx, dstate, *dweights
