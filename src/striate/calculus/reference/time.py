"""Backpropagation through time: the same cell, T times over.

Unrolled, a recurrent network is a deep network whose layers share their weights. Two sums are
all that is new: the gradient of a state comes from its own output and from the next step, and
the gradient of a shared weight is the sum over all steps.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from striate.calculus.reference.array import Array
from striate.calculus.reference.recurrent import (
    gru_cell,
    gru_cell_bp,
    lstm_cell,
    lstm_cell_bp,
    simple_rnn_cell,
    simple_rnn_cell_bp,
)

__all__ = [
    "gru",
    "gru_bp",
    "lstm",
    "lstm_bp",
    "simple_rnn",
    "simple_rnn_bp",
    "through_time",
    "through_time_bp",
]


def through_time(
    cell: Callable[..., Array],
    x: Float[Array, "B T C"],
    state: Float[Array, "B *Z"],
    *weights: Array,
) -> Float[Array, "B T *Z"]:
    """The state after each step; the same weights are used at every one.

    Args:
        cell: (input, state, *weights) to the next state.
        x: the inputs of all steps.
        state: the state before the first step.
        weights: as the cell takes them.
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


def simple_rnn(
    x: Float[Array, "B T C"],
    h: Float[Array, "B H"],
    W: Float[Array, "H C"],
    U: Float[Array, "H H"],
    b: Float[Array, "H"],
) -> Float[Array, "B T H"]:
    """The states h_1 … h_T of a simple recurrent network.

    Example:
        >>> x, h = np.zeros((1, 3, 1)), np.full((1, 1), 0.5)
        >>> simple_rnn(x, h, np.eye(1), np.eye(1), np.zeros(1)).round(4).ravel()
        array([0.4621, 0.4318, 0.4068])
    """
    return through_time(simple_rnn_cell, x, h, W, U, b)


def simple_rnn_bp(
    p: Float[Array, "B T H"],
    x: Float[Array, "B T C"],
    h: Float[Array, "B H"],
    W: Float[Array, "H C"],
    U: Float[Array, "H H"],
    b: Float[Array, "H"],
) -> tuple[Array, ...]:
    """The gradients by x, h, W, U and b.

    Example:
        >>> x, h, p = np.zeros((1, 3, 1)), np.full((1, 1), 0.5), np.array([[[0.0], [0.0], [1.0]]])
        >>> dx, *_ = simple_rnn_bp(p, x, h, np.eye(1), np.eye(1), np.zeros(1))
        >>> dx.round(4).ravel()  # the further back, the smaller
        array([0.5339, 0.6789, 0.8345])
    """
    return through_time_bp(simple_rnn_cell, simple_rnn_cell_bp, p, x, h, W, U, b)


def lstm(
    x: Float[Array, "B T C"],
    state: Float[Array, "B 2 H"],
    W: Float[Array, "4*H C"],
    U: Float[Array, "4*H H"],
    b: Float[Array, "4*H"],
) -> Float[Array, "B T 2 H"]:
    """The states of an LSTM: h_t = y[:, t, 0] and the memory c_t = y[:, t, 1].

    Example:
        >>> x, state = np.zeros((1, 3, 1)), np.array([[[0.0], [8.0]]])
        >>> W = U = np.zeros((4, 1))
        >>> lstm(x, state, W, U, np.zeros(4))[:, :, 1].ravel()
        array([4., 2., 1.])
    """
    return through_time(lstm_cell, x, state, W, U, b)


def lstm_bp(
    p: Float[Array, "B T 2 H"],
    x: Float[Array, "B T C"],
    state: Float[Array, "B 2 H"],
    W: Float[Array, "4*H C"],
    U: Float[Array, "4*H H"],
    b: Float[Array, "4*H"],
) -> tuple[Array, ...]:
    """The gradients by x, state, W, U and b.

    Example:
        >>> x, state = np.zeros((1, 3, 1)), np.array([[[0.0], [8.0]]])
        >>> W = U = np.zeros((4, 1))
        >>> p = np.zeros((1, 3, 2, 1))
        >>> p[:, -1, 1] = 1.0
        >>> _, dstate, *_ = lstm_bp(p, x, state, W, U, np.zeros(4))
        >>> dstate[:, 1]
        array([[0.125]])
    """
    return through_time_bp(lstm_cell, lstm_cell_bp, p, x, state, W, U, b)


def gru(
    x: Float[Array, "B T C"],
    h: Float[Array, "B H"],
    W: Float[Array, "3*H C"],
    U: Float[Array, "3*H H"],
    b: Float[Array, "3*H"],
    d: Float[Array, "3*H"],
) -> Float[Array, "B T H"]:
    """The states h_1 … h_T of a gated recurrent unit.

    Example:
        >>> x, h, W = np.zeros((1, 3, 1)), np.array([[8.0]]), np.zeros((3, 1))
        >>> gru(x, h, W, W, np.zeros(3), np.zeros(3)).ravel()
        array([4., 2., 1.])
    """
    return through_time(gru_cell, x, h, W, U, b, d)


def gru_bp(
    p: Float[Array, "B T H"],
    x: Float[Array, "B T C"],
    h: Float[Array, "B H"],
    W: Float[Array, "3*H C"],
    U: Float[Array, "3*H H"],
    b: Float[Array, "3*H"],
    d: Float[Array, "3*H"],
) -> tuple[Array, ...]:
    """The gradients by x, h, W, U, b and d.

    Example:
        >>> x, h, W = np.zeros((1, 3, 1)), np.array([[8.0]]), np.zeros((3, 1))
        >>> p = np.array([[[0.0], [0.0], [1.0]]])
        >>> _, dh, *_ = gru_bp(p, x, h, W, W, np.zeros(3), np.zeros(3))
        >>> dh
        array([[0.125]])
    """
    return through_time_bp(gru_cell, gru_cell_bp, p, x, h, W, U, b, d)
