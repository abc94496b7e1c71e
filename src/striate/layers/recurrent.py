"""Recurrent cells in plain equations, one time step at a time, with torch's weight layout.

Gates are rows of one matrix, in torch's order: GRU (r, z, n), LSTM (i, f, g, o); `weight_ih` is
for the input, `weight_hh` for the state, each with a bias. A state_dict of `nn.RNNCell`,
`nn.GRUCell` or `nn.LSTMCell` loads as it is.

Cost: two matrix products per step, as in the fused versions, plus the launch of ten small
operations; over long sequences `nn.RNN`, `nn.GRU` and `nn.LSTM` are faster.
"""

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ShapeError

__all__ = ["GRUCell", "LSTMCell", "RecurrentCell", "SimpleRNNCell", "unroll"]


class RecurrentCell(nn.Module, ABC):
    """The base of the three cells: the weights, and a state that starts at zero.

    The state is a tuple of tensors (B, H); its first one, h, is the output.
    """

    num_gates: int
    num_states: int = 1

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        rows = self.num_gates * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(rows))
        self.bias_hh = nn.Parameter(torch.empty(rows))
        bound = 1 / math.sqrt(hidden_size)  # torch's own choice
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(
        self, x: Float[Tensor, "B C"], state: tuple[Float[Tensor, "B H"], ...] | None = None
    ) -> tuple[Float[Tensor, "B H"], ...]:
        if x.ndim != 2 or x.shape[1] != self.input_size:
            raise ShapeError(
                f"{type(self).__name__} takes one time step, (B, {self.input_size}); what came has "
                f"the shape {tuple(x.shape)}. `unroll` takes a whole sequence."
            )
        if state is None:
            state = (x.new_zeros(x.shape[0], self.hidden_size),) * self.num_states
        return self.step(x, state)

    @abstractmethod
    def step(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The next state."""

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


class SimpleRNNCell(RecurrentCell):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh).

    Source: Elman, Finding structure in time (1990).

    Example:
        >>> (h,) = SimpleRNNCell(3, 5)(torch.randn(2, 3))
        >>> h.shape
        torch.Size([2, 5])
    """

    num_gates = 1

    def step(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (h,) = state
        return (
            torch.tanh(x @ self.weight_ih.T + self.bias_ih + h @ self.weight_hh.T + self.bias_hh),
        )


class GRUCell(RecurrentCell):
    """Reset r, update z, candidate n: h' = (1 − z)·n + z·h.

    The reset gate multiplies W_hn h + b_hn, after the product, as in torch and cuDNN; the paper
    multiplies h before it.

    Source: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder (2014), eqs. 5-8.

    Example:
        >>> (h,) = GRUCell(3, 5)(torch.randn(2, 3))
        >>> h.shape
        torch.Size([2, 5])
    """

    num_gates = 3

    def step(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (h,) = state
        xr, xz, xn = (x @ self.weight_ih.T + self.bias_ih).chunk(3, 1)
        hr, hz, hn = (h @ self.weight_hh.T + self.bias_hh).chunk(3, 1)
        r = torch.sigmoid(xr + hr)
        z = torch.sigmoid(xz + hz)
        n = torch.tanh(xn + r * hn)
        return ((1 - z) * n + z * h,)


class LSTMCell(RecurrentCell):
    """Input i, forget f, candidate g, output o: c' = f·c + i·g, h' = o·tanh(c').

    The state is (h, c).

    Source: Hochreiter and Schmidhuber (1997), with the forget gate of Gers et al. (2000).

    Example:
        >>> h, c = LSTMCell(3, 5)(torch.randn(2, 3))
        >>> h.shape
        torch.Size([2, 5])
    """

    num_gates = 4
    num_states = 2

    def step(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        h, c = state
        gates = x @ self.weight_ih.T + self.bias_ih + h @ self.weight_hh.T + self.bias_hh
        i, f, g, o = gates.chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


def unroll(
    cell: RecurrentCell,
    x: Float[Tensor, "T B C"],
    state: tuple[Float[Tensor, "B H"], ...] | None = None,
) -> tuple[Float[Tensor, "T B H"], tuple[Float[Tensor, "B H"], ...]]:
    """The outputs h of all time steps, and the last state.

    Args:
        cell: Cell, applied at each step, with the same weights.
        x: Inputs (T, B, C), at least one step.
        state: State before the first step; None: zeros.

    Raises:
        ShapeError: a sequence without a step.

    Example:
        >>> outputs, (h, c) = unroll(LSTMCell(3, 5), torch.randn(7, 2, 3))
        >>> outputs.shape, torch.equal(outputs[-1], h)
        (torch.Size([7, 2, 5]), True)
    """
    if x.ndim != 3 or not len(x):
        raise ShapeError(
            f"unroll takes (T, B, C) with at least one step; what came has the shape "
            f"{tuple(x.shape)}."
        )
    outputs = []
    for step in x:
        state = cell(step, state)
        outputs.append(state[0])
    return torch.stack(outputs), state if state is not None else ()
