"""Backpropagation through time: how gradients shrink or grow with distance, and where they add up.

A recurrent layer uses the same weights at each of T steps. The gradient of a weight is the sum
of T contributions, one for each step; the contribution of a step that lies k steps before the
loss has passed k Jacobians ∂h_{t+1}/∂h_t, whose product vanishes or explodes with k.

Source: Hochreiter, Untersuchungen zu dynamischen neuronalen Netzen, 1991; Bengio, Simard and
Frasconi, Learning long-term dependencies with gradient descent is difficult, IEEE Trans. Neural
Networks 5(2), 1994; Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural
networks, 2013, equations 3 to 5.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call

from striate.calculus.graph_label import number_text
from striate.drawing.figure import new_figure, tidy, write_png
from striate.drawing.table import text_table
from striate.errors import ConfigError, unknown_name
from striate.layers.recurrent import GRUCell, LSTMCell, RecurrentCell, SimpleRNNCell
from striate.randomness import generator, layer_randomness

CELLS: Mapping[str, type[RecurrentCell]] = {
    "simple": SimpleRNNCell,
    "gru": GRUCell,
    "lstm": LSTMCell,
}
"""The cells that can be measured by name."""


@dataclass(frozen=True)
class Decay:
    """Gradient norms of one kind of cell against distance from the loss."""

    cell: str
    seeds: tuple[int, ...]
    state: Float[Tensor, "N T"]
    """‖∂L/∂(state k steps before the end)‖ for each seed and k = 0 … T−1; an LSTM's state is
    (h, c), where c acts through the h of its own step too."""
    hidden: Float[Tensor, "N T"]
    """‖∂L/∂h‖ alone, at the same steps."""
    inputs: Float[Tensor, "N T"]
    """‖∂L/∂x‖, x being the input of the step k steps before the last."""

    @property
    def rate(self) -> float:
        """The factor per step by which ‖∂L/∂state‖ changes: median of seeds, over all steps."""
        steps = self.state.shape[1] - 1
        ratio = (self.state[:, -1] / self.state[:, 0]).clamp_min(torch.finfo(torch.float64).tiny)
        return float(ratio.log().div(max(steps, 1)).exp().median())


def gradient_decay(
    cells: Sequence[str] = ("simple", "gru", "lstm"),
    *,
    num_steps: int = 50,
    input_size: int = 8,
    hidden_size: int = 32,
    batch_size: int = 4,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    gain: float = 1.0,
    forget_bias: float = 0.0,
) -> tuple[Decay, ...]:
    """The decay of a gradient with distance from a loss at the last step, for each kind of cell.

    The loss is a random unit direction of the last h, the inputs are noise, the arithmetic is
    float64. A new seed draws weights, inputs and direction.

    Args:
        cells: Names from `CELLS`.
        num_steps: Number of time steps T.
        input_size: Number of inputs C.
        hidden_size: Units H of the state.
        batch_size: Number of sequences B; the norm is over the whole batch.
        seeds: Random seeds, one measurement for each.
        gain: Factor on the recurrent weights: above some value simple cells explode.
        forget_bias: Number added to the bias of the LSTM's forget gate: 1 or 2 let it remember.

    Raises:
        ConfigError: an unknown cell, or a count below 1.

    Example:
        >>> simple, lstm = gradient_decay(("simple", "lstm"), num_steps=20, forget_bias=2.0)
        >>> simple.rate < lstm.rate
        True
    """
    problems = [unknown_name("cell", name, CELLS) for name in cells if name not in CELLS]
    counts = {"num_steps": num_steps, "hidden_size": hidden_size, "batch_size": batch_size}
    problems += [f"{name}={n} must be 1 or more." for name, n in counts.items() if n < 1]
    if not seeds or not cells:
        problems.append("Give at least one cell and one seed.")
    if problems:
        raise ConfigError(problems)
    measured = []
    for name in cells:
        runs = []
        for seed in seeds:
            with layer_randomness(seed, "through time", name):
                cell = CELLS[name](input_size, hidden_size).double()
            with torch.no_grad():
                cell.weight_hh.mul_(gain)
                if name == "lstm":
                    cell.bias_ih[hidden_size : 2 * hidden_size] += forget_bias
            runs.append(_norms(cell, num_steps, batch_size, seed))
        state, hidden, inputs = (torch.stack(rows) for rows in zip(*runs, strict=True))
        measured.append(Decay(name, tuple(seeds), state, hidden, inputs))
    return tuple(measured)


def _norms(
    cell: RecurrentCell, num_steps: int, batch_size: int, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    source = generator(seed, "through time")
    shape = (num_steps, batch_size, cell.input_size)
    xs = [x.requires_grad_() for x in torch.randn(shape, generator=source, dtype=torch.float64)]
    direction = torch.randn(batch_size, cell.hidden_size, generator=source, dtype=torch.float64)
    states: list[tuple[Tensor, ...]] = []
    state: tuple[Tensor, ...] | None = None
    for x in xs:
        state = cell(x, state)
        states.append(state)
    loss = (states[-1][0] * direction / direction.norm()).sum()
    flat = [tensor for state in states for tensor in state]
    gradients = torch.autograd.grad(loss, [*flat, *xs], allow_unused=True, materialize_grads=True)
    per = cell.num_states
    by_state = [torch.stack(gradients[per * t : per * (t + 1)]) for t in range(num_steps)]
    by_hidden = [rows[0] for rows in by_state]
    by_input = gradients[per * num_steps :]
    state_norms, hidden_norms, input_norms = (
        torch.stack([part.norm() for part in reversed(parts)])
        for parts in (by_state, by_hidden, by_input)
    )
    return state_norms, hidden_norms, input_norms


def time_contributions(
    cell: RecurrentCell, x: Float[Tensor, "T B C"], loss: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """The contribution of each time step to the gradient of each shared weight: name -> (T, ...).

    The sum over T is the gradient. Each step runs with a copy of the weights of its own, so that
    each copy receives the contribution of its step alone.

    Args:
        cell: From `striate.layers`.
        x: The inputs of all steps.
        loss: Function of the outputs h of all steps, (T, B, H), to one number.

    Source: Pascanu, Mikolov and Bengio, 2013, equation 4 (∂E/∂θ = Σ_t ∂E_t/∂θ).

    Example:
        >>> parts = time_contributions(GRUCell(3, 5), torch.randn(7, 2, 3), torch.sum)
        >>> parts["weight_hh"].shape
        torch.Size([7, 15, 5])
    """
    copies = [
        {name: p.detach().clone().requires_grad_() for name, p in cell.named_parameters()}
        for _ in range(len(x))
    ]
    outputs, state = [], None
    for weights, step in zip(copies, x, strict=True):
        state = functional_call(cell, weights, (step, state))
        outputs.append(state[0])
    value = loss(torch.stack(outputs))
    every = [weight for weights in copies for weight in weights.values()]
    gradients = torch.autograd.grad(value, every, allow_unused=True, materialize_grads=True)
    names = list(copies[0])
    return {name: torch.stack(gradients[i :: len(names)]) for i, name in enumerate(names)}


def decay_text(measured: Sequence[Decay]) -> str:
    """The gradient norms as a table: median over seeds, and the factor per step.

    Example:
        >>> print(decay_text(gradient_decay(("simple",), num_steps=3)).splitlines()[0])
        distance  simple
    """
    num_steps = measured[0].state.shape[1]
    shown = sorted({round(i * (num_steps - 1) / 8) for i in range(9)})
    rows = [["distance", *(decay.cell for decay in measured)]]
    for k in shown:
        medians = [float(decay.state[:, k].median()) for decay in measured]
        rows.append([str(k), *(f"{median:.1e}" for median in medians)])
    rows.append(["per step", *(f"× {number_text(decay.rate)}" for decay in measured)])
    seeds = len(measured[0].seeds)
    note = f"‖∂L/∂state‖ against steps before the loss; median of {seeds} seeds"
    return f"{text_table(rows, '>')}\n{note}"


def decay_png(measured: Sequence[Decay], path: Path) -> None:
    """Draw the gradient norms against distance: a line for the median, a band for all seeds.

    Args:
        measured: Measurements of `gradient_decay`.
        path: Path of the PNG file.
    """
    # Okabe and Ito's colours, distinct for colour-blind eyes too.
    colours = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")
    figure = new_figure(9.5, 4.2)
    panels = figure.subplots(1, 2, sharey=True)
    tiny = torch.finfo(torch.float64).tiny
    for panel, title in zip(panels, ("by the state", "by the input"), strict=True):
        for number, decay in enumerate(measured):
            norms = (decay.state if title == "by the state" else decay.inputs).clamp_min(tiny)
            colour = colours[number % len(colours)]
            distance = range(norms.shape[1])
            low, high = norms.amin(0).numpy(), norms.amax(0).numpy()
            panel.fill_between(distance, low, high, color=colour, alpha=0.18, linewidth=0)
            median = norms.median(0).values.numpy()
            label = f"{decay.cell} (× {number_text(decay.rate)} per step)"
            panel.plot(distance, median, color=colour, linewidth=2, label=label)
        panel.set_yscale("log")
        panel.set_title(f"gradient {title}", loc="left")
        panel.set_xlabel("time steps before the loss")
        tidy(panel)
    panels[0].set_ylabel(f"norm: median and range of {len(measured[0].seeds)} seeds")
    panels[0].legend(frameon=False)
    write_png(figure, path, dpi=140)
