"""Recurrent cells: one step in time, as pairs.

A cell makes the next state from an input and the state before, with the same weights at every
step (`time.py` takes the steps). Weights of several gates lie below each other in the order
named, H rows each. The arrays of a partner have the shapes of the cell's, p that of its result.
"""

import numpy as np
from jaxtyping import Float

from striate.calculus.reference.activation import sigmoid, sigmoid_bp, tanh, tanh_bp
from striate.calculus.reference.array import Array
from striate.calculus.reference.linear import fully_connected, fully_connected_bp

__all__ = [
    "gru_cell",
    "gru_cell_bp",
    "lstm_cell",
    "lstm_cell_bp",
    "simple_rnn_cell",
    "simple_rnn_cell_bp",
]


def simple_rnn_cell(
    x: Float[Array, "B C"],
    h: Float[Array, "B H"],
    W: Float[Array, "H C"],
    U: Float[Array, "H H"],
    b: Float[Array, "H"],
) -> Float[Array, "B H"]:
    """h' = tanh(Wx + Uh + b).

    Source: Elman (1990), Finding structure in time.

    Example:
        >>> x, h, W, U, b = np.ones((1, 1)), np.zeros((1, 1)), np.eye(1), np.eye(1), np.zeros(1)
        >>> simple_rnn_cell(x, h, W, U, b).round(4)
        array([[0.7616]])
    """
    a = fully_connected(x, W, b) + h @ U.T  # B H
    return tanh(a)


def simple_rnn_cell_bp(
    p: Array, x: Array, h: Array, W: Array, U: Array, b: Array
) -> tuple[Array, ...]:
    """The gradients by x, h, W, U and b.

    Example:
        >>> x, h, W, U, b = np.ones((1, 1)), np.zeros((1, 1)), np.eye(1), np.eye(1), np.zeros(1)
        >>> dx, dh, dW, dU, db = simple_rnn_cell_bp(np.ones((1, 1)), x, h, W, U, b)
        >>> dh.round(4), dU
        (array([[0.42]]), array([[0.]]))
    """
    a = fully_connected(x, W, b) + h @ U.T  # B H
    da = tanh_bp(p, a)
    dx, dW, db = fully_connected_bp(da, x, W, b)
    dh, dU, _ = fully_connected_bp(da, h, U, b)
    return dx, dh, dW, dU, db


def lstm_cell(
    x: Float[Array, "B C"],
    state: Float[Array, "B 2 H"],
    W: Float[Array, "4*H C"],
    U: Float[Array, "4*H H"],
    b: Float[Array, "4*H"],
) -> Float[Array, "B 2 H"]:
    """c' = f c + i g  and  h' = o tanh c': a memory c that is added to, not multiplied through.

    The gates i (input), f (forget), o (output) are sigmoids and the candidate g is a tanh of
    Wx + Uh + b, in the order i, f, g, o.

    Args:
        x: Input of this step.
        state: h = state[:, 0] and c = state[:, 1].
        W: Weights of the input.
        U: Weights of the state h.
        b: Biases.

    Source: Hochreiter & Schmidhuber (1997); forget gate: Gers, Schmidhuber & Cummins (2000).

    Example:
        >>> x, state = np.zeros((1, 1)), np.array([[[0.0], [8.0]]])
        >>> W = U = np.zeros((4, 1))
        >>> lstm_cell(x, state, W, U, np.zeros(4)).round(4)  # an open gate is ½: half is kept
        array([[[0.4997],
                [4.    ]]])
    """
    h, c = state[:, 0], state[:, 1]  # B H each
    a = fully_connected(x, W, b) + h @ U.T  # B 4·H
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=1)  # B H each
    c_next = sigmoid(a_f) * c + sigmoid(a_i) * tanh(a_g)
    h_next = sigmoid(a_o) * tanh(c_next)
    return np.stack([h_next, c_next], axis=1)


def lstm_cell_bp(
    p: Array, x: Array, state: Array, W: Array, U: Array, b: Array
) -> tuple[Array, ...]:
    """The gradients by x, state, W, U and b.

    The gradient by the memory goes back as dc = f dc': no weight and no squashing in between.

    Example:
        >>> x, state = np.zeros((1, 1)), np.array([[[0.0], [8.0]]])
        >>> W = U = np.zeros((4, 1))
        >>> p = np.array([[[0.0], [1.0]]])
        >>> _, dstate, *_ = lstm_cell_bp(p, x, state, W, U, np.zeros(4))
        >>> dstate[:, 1]
        array([[0.5]])
    """
    h, c = state[:, 0], state[:, 1]  # B H each
    a = fully_connected(x, W, b) + h @ U.T  # B 4·H
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=1)  # B H each
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), tanh(a_g), sigmoid(a_o)
    c_next = f * c + i * g

    dh_next, dc_next = p[:, 0], p[:, 1]
    dc_next = dc_next + tanh_bp(dh_next * o, c_next)
    da_i = sigmoid_bp(dc_next * g, a_i)
    da_f = sigmoid_bp(dc_next * c, a_f)
    da_g = tanh_bp(dc_next * i, a_g)
    da_o = sigmoid_bp(dh_next * tanh(c_next), a_o)
    da = np.concatenate([da_i, da_f, da_g, da_o], axis=1)  # B 4·H
    dx, dW, db = fully_connected_bp(da, x, W, b)
    dh, dU, _ = fully_connected_bp(da, h, U, b)
    dc = dc_next * f
    return dx, np.stack([dh, dc], axis=1), dW, dU, db


def gru_cell(
    x: Float[Array, "B C"],
    h: Float[Array, "B H"],
    W: Float[Array, "3*H C"],
    U: Float[Array, "3*H H"],
    b: Float[Array, "3*H"],
    d: Float[Array, "3*H"],
) -> Float[Array, "B H"]:
    """h' = (1 − z) n + z h: the gate z keeps the old state or takes the candidate n.

    With Wx + b = (a_r, a_z, a_n) and Uh + d = (e_r, e_z, e_n):
    r = sigmoid(a_r + e_r), z = sigmoid(a_z + e_z), n = tanh(a_n + r e_n).

    Source: Cho et al. (2014), Learning phrase representations using RNN encoder–decoder, with
    the reset r applied after U as in cuDNN and torch.

    Example:
        >>> x, h, W = np.zeros((1, 1)), np.array([[8.0]]), np.zeros((3, 1))
        >>> gru_cell(x, h, W, W, np.zeros(3), np.zeros(3))
        array([[4.]])
    """
    a_r, a_z, a_n = np.split(fully_connected(x, W, b), 3, axis=1)  # B H each
    e_r, e_z, e_n = np.split(fully_connected(h, U, d), 3, axis=1)  # B H each
    r, z = sigmoid(a_r + e_r), sigmoid(a_z + e_z)
    n = tanh(a_n + r * e_n)
    return (1 - z) * n + z * h


def gru_cell_bp(
    p: Array, x: Array, h: Array, W: Array, U: Array, b: Array, d: Array
) -> tuple[Array, ...]:
    """The gradients by x, h, W, U, b and d.

    Example:
        >>> x, h, W = np.zeros((1, 1)), np.array([[8.0]]), np.zeros((3, 1))
        >>> _, dh, *_ = gru_cell_bp(np.ones((1, 1)), x, h, W, W, np.zeros(3), np.zeros(3))
        >>> dh
        array([[0.5]])
    """
    a_r, a_z, a_n = np.split(fully_connected(x, W, b), 3, axis=1)  # B H each
    e_r, e_z, e_n = np.split(fully_connected(h, U, d), 3, axis=1)  # B H each
    r, z = sigmoid(a_r + e_r), sigmoid(a_z + e_z)
    n = tanh(a_n + r * e_n)

    da_n = tanh_bp(p * (1 - z), a_n + r * e_n)
    da_z = sigmoid_bp(p * (h - n), a_z + e_z)
    da_r = sigmoid_bp(da_n * e_n, a_r + e_r)
    da = np.concatenate([da_r, da_z, da_n], axis=1)  # B 3·H
    de = np.concatenate([da_r, da_z, da_n * r], axis=1)  # B 3·H
    dx, dW, db = fully_connected_bp(da, x, W, b)
    dh, dU, dd = fully_connected_bp(de, h, U, d)
    dh = dh + p * z  # h was used twice
    return dx, dh, dW, dU, db, dd
