"""Each pair of the reference against torch's autograd, and a broken twin that must be caught.

The comparison is one function, `assert_pair`; a case is a pair with its torch counterpart and
lopsided inputs; a twin is the same case with one line of the mathematics spoilt.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from striate.calculus import reference as R

# Float64 on both sides; all cases agree to 1e-12, every broken twin errs by 1e-3 or more.
TOLERANCE = 1e-9

Inputs = tuple[np.ndarray, ...]


class Case(NamedTuple):
    f: Callable[..., Any]
    f_bp: Callable[..., Any]
    torch_f: Callable[..., torch.Tensor]
    inputs: Inputs


def numbers(*shapes: tuple[int, ...], seed: int = 0) -> Inputs:
    generator = np.random.default_rng(seed)
    return tuple(generator.normal(size=shape) for shape in shapes)


def over_time(cell: Any, cell_bp: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A cell and its partner, each applied to all steps."""
    return partial(R.through_time, cell), partial(R.through_time_bp, cell, cell_bp)


def assert_near(found: Any, expected: torch.Tensor) -> None:
    """Equal up to TOLERANCE times the largest number of the tensor."""
    scale = float(expected.detach().abs().max())
    torch.testing.assert_close(
        torch.from_numpy(np.array(found)), expected.detach(), rtol=0, atol=TOLERANCE * scale
    )


def assert_pair(case: Case) -> None:
    """Value and every gradient equal those of torch, for a random gradient p at the output."""
    tensors = [torch.from_numpy(array.copy()).requires_grad_() for array in case.inputs]
    expected = case.torch_f(*tensors)
    assert_near(case.f(*case.inputs), expected)

    p = np.random.default_rng(99).normal(size=tuple(expected.shape))
    gradients = torch.autograd.grad(expected, tensors, torch.from_numpy(np.asarray(p)))
    found = case.f_bp(float(p) if p.ndim == 0 else p, *case.inputs)
    found = found if isinstance(found, tuple) else (found,)
    assert len(found) == len(gradients)
    for ours, theirs in zip(found, gradients, strict=True):
        assert_near(ours, theirs)


def with_options(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    return lambda *arrays: function(*arrays, **options)


CONVOLVE = (F.conv1d, F.conv2d, F.conv3d)
TRANSPOSE = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
MAX_POOL = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
AVERAGE_POOL = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)


def convolution_case(
    size: tuple[int, ...], channels: int, maps: int, kernel: tuple[int, ...], **options: Any
) -> Case:
    group = channels // options.get("groups", 1)
    inputs = numbers((3, channels, *size), (maps, group, *kernel), (maps,))
    return Case(
        with_options(R.convolution, **options),
        with_options(R.convolution_bp, **options),
        with_options(CONVOLVE[len(size) - 1], **options),
        inputs,
    )


def transposed_case(
    size: tuple[int, ...], channels: int, maps: int, kernel: tuple[int, ...], **options: Any
) -> Case:
    """`size` and `channels` belong to the output; torch is told the surplus at the far end."""
    num_axes, groups = len(size), options.get("groups", 1)
    places = R.output_size(size, kernel, **{k: v for k, v in options.items() if k != "groups"})

    def torch_f(p: torch.Tensor, W: torch.Tensor) -> torch.Tensor:
        surplus = []
        for axis in range(num_axes):
            stride, padding, dilation = (
                np.broadcast_to(options.get(name, default), num_axes)[axis]
                for name, default in (("stride", 1), ("padding", 0), ("dilation", 1))
            )
            span = dilation * (kernel[axis] - 1) + 1
            smallest = (places[axis] - 1) * stride - 2 * padding + span
            surplus.append(int(size[axis] - smallest))
        return TRANSPOSE[num_axes - 1](p, W, output_padding=tuple(surplus), **options)

    inputs = numbers((3, maps, *places), (maps, channels // groups, *kernel))
    return Case(
        with_options(R.transposed_convolution, size=size, **options),
        with_options(R.transposed_convolution_bp, size=size, **options),
        torch_f,
        inputs,
    )


def torch_subsampling(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    total = F.avg_pool2d(x, (2, 3), (3, 2), divisor_override=1)
    return w[:, None, None] * total + b[:, None, None]


def torch_dropout(x: torch.Tensor, mask: np.ndarray, rate: float) -> torch.Tensor:
    """torch's own dropout on an array of ones shows its mask; ours is given the same one."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        y = F.dropout(x, rate)
    assert torch.equal(y != 0, torch.from_numpy(mask != 0))
    return y


def dropout_case() -> Case:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        mask = (F.dropout(torch.ones(3, 7, dtype=torch.float64), 0.3) != 0).double().numpy()
    return Case(
        with_options(R.dropout, mask=mask, rate=0.3),
        with_options(R.dropout_bp, mask=mask, rate=0.3),
        with_options(torch_dropout, mask=mask, rate=0.3),
        numbers((3, 7)),
    )


def torch_lrn(x: torch.Tensor) -> torch.Tensor:
    # torch multiplies the mean of the n squares by α, the paper their sum.
    return F.local_response_norm(x, 5, alpha=5 * 1e-4, beta=0.75, k=2.0)


def torch_batch_norm(x: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    return F.batch_norm(x, None, None, gamma, beta, training=True, eps=1e-5)


def torch_shortcut(x: torch.Tensor, num_maps: int, stride: int) -> torch.Tensor:
    kept = x[(slice(None), slice(None), *[slice(None, None, stride)] * (x.ndim - 2))]
    surplus = num_maps - x.shape[1]
    return F.pad(kept, [0, 0] * (x.ndim - 2) + [0, surplus])


def torch_block(
    x: torch.Tensor,
    W1: torch.Tensor,
    gamma1: torch.Tensor,
    beta1: torch.Tensor,
    W2: torch.Tensor,
    gamma2: torch.Tensor,
    beta2: torch.Tensor,
    stride: int,
) -> torch.Tensor:
    convolve = CONVOLVE[x.ndim - 3]
    same = tuple(f // 2 for f in W1.shape[2:])
    h = torch_batch_norm(convolve(x, W1, stride=stride, padding=same), gamma1, beta1).relu()
    h = torch_batch_norm(convolve(h, W2, padding=same), gamma2, beta2)
    return (h + torch_shortcut(x, len(W1), stride)).relu()


def recurrent(
    module: torch.nn.Module, x: torch.Tensor, state: Any, *weights: torch.Tensor
) -> tuple[Any, Any]:
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    return torch.func.functional_call(  # type: ignore[no-any-return]
        module, dict(zip(names, weights, strict=True)), (x, state)
    )


def torch_rnn(
    x: torch.Tensor, h: torch.Tensor, W: torch.Tensor, U: torch.Tensor, b: torch.Tensor
) -> torch.Tensor:
    module = torch.nn.RNN(x.shape[2], h.shape[1], batch_first=True, dtype=x.dtype)
    return recurrent(module, x, h[None], W, U, b, torch.zeros_like(b))[0]


def torch_gru(
    x: torch.Tensor,
    h: torch.Tensor,
    W: torch.Tensor,
    U: torch.Tensor,
    b: torch.Tensor,
    d: torch.Tensor,
) -> torch.Tensor:
    module = torch.nn.GRU(x.shape[2], h.shape[1], batch_first=True, dtype=x.dtype)
    return recurrent(module, x, h[None], W, U, b, d)[0]


def torch_lstm(
    x: torch.Tensor, state: torch.Tensor, W: torch.Tensor, U: torch.Tensor, b: torch.Tensor
) -> torch.Tensor:
    """The library returns only the last memory, so it is run once for each length."""
    module = torch.nn.LSTM(x.shape[2], state.shape[2], batch_first=True, dtype=x.dtype)
    first = (state[None, :, 0].contiguous(), state[None, :, 1].contiguous())
    lasts = [
        recurrent(module, x[:, : t + 1], first, W, U, b, torch.zeros_like(b))[1]
        for t in range(x.shape[1])
    ]
    return torch.stack([torch.stack([h[0], c[0]], dim=1) for h, c in lasts], dim=1)


def one_step(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda x, *others: function(x[:, None], *others)[:, 0]


def pool_case(name: str, size: tuple[int, ...], window: tuple[int, ...], **options: Any) -> Case:
    torch_pools = MAX_POOL if name == "max" else AVERAGE_POOL
    return Case(
        with_options(getattr(R, f"{name}_pooling"), window=window, **options),
        with_options(getattr(R, f"{name}_pooling_bp"), window=window, **options),
        with_options(torch_pools[len(size) - 1], kernel_size=window, **options),
        numbers((2, 3, *size)),
    )


def loss_case(name: str, torch_f: Callable[..., torch.Tensor], **options: Any) -> Case:
    y = np.array([4, 0, 3, 1, 4, 2, 0])
    return Case(
        with_options(getattr(R, name), y=y, **options),
        with_options(getattr(R, f"{name}_bp"), y=y, **options),
        lambda s: torch_f(s, torch.from_numpy(y), **options),
        tuple(3 * array for array in numbers((7, 5))),
    )


def torch_block_case(size: tuple[int, ...], channels: int, maps: int, stride: int) -> Case:
    kernel = (3, 5, 1)[: len(size)]
    return Case(
        with_options(R.residual_block, stride=stride),
        with_options(R.residual_block_bp, stride=stride),
        with_options(torch_block, stride=stride),
        numbers(
            (4, channels, *size),
            (maps, channels, *kernel),
            (maps,),
            (maps,),
            (maps, maps, *kernel),
            (maps,),
            (maps,),
        ),
    )


RNN = numbers((3, 6, 4), (3, 5), (5, 4), (5, 5), (5,))
LSTM = numbers((3, 6, 4), (3, 2, 5), (20, 4), (20, 5), (20,))
GRU = numbers((3, 6, 4), (3, 5), (15, 4), (15, 5), (15,), (15,))


def first_step(inputs: Inputs) -> Inputs:
    x, *others = inputs
    return x[:, 0], *others


CASES = {
    "fully_connected": Case(
        R.fully_connected, R.fully_connected_bp, F.linear, numbers((3, 7), (5, 7), (5,))
    ),
    "spread": Case(
        with_options(R.spread, shape=(2, 3, 5, 4)),
        lambda p, b: R.spread_bp(p),
        lambda b: b[:, None, None].expand(2, 3, 5, 4),
        numbers((3,)),
    ),
    "tanh": Case(R.tanh, R.tanh_bp, torch.tanh, numbers((3, 2, 5))),
    "sigmoid": Case(R.sigmoid, R.sigmoid_bp, torch.sigmoid, numbers((3, 2, 5))),
    "relu": Case(R.relu, R.relu_bp, torch.relu, numbers((3, 2, 5))),
    "dropout": dropout_case(),
    "softmax": Case(R.softmax, R.softmax_bp, with_options(torch.softmax, dim=1), numbers((3, 5))),
    "softmax cross-entropy": loss_case("softmax_cross_entropy", F.cross_entropy),
    "hinge": loss_case("hinge", lambda s, y: F.multi_margin_loss(s, y) * s.shape[1]),
    "hinge, wide margin": loss_case(
        "hinge",
        lambda s, y, margin: F.multi_margin_loss(s, y, margin=margin) * s.shape[1],
        margin=2.5,
    ),
    "windows, 2-D": Case(
        with_options(R.windows, window=(2, 3)),
        lambda p, x: R.windows_bp(p, x, (2, 3)),
        lambda x: F.unfold(x, (2, 3)).reshape(2, 3, 6, -1).transpose(2, 3),
        numbers((2, 3, 5, 7)),
    ),
    "convolution, 1-D": convolution_case((11,), 3, 5, (4,), stride=3, padding=2),
    "convolution, stride > kernel": convolution_case((17,), 2, 3, (2,), stride=5),
    "convolution, 2-D": convolution_case((7, 9), 3, 5, (3, 2), padding=(2, 1)),
    "convolution, dilated": convolution_case(
        (11, 13), 2, 3, (3, 4), stride=(2, 3), padding=(1, 2), dilation=(2, 3)
    ),
    "convolution, AlexNet's": convolution_case(
        (13, 15), 4, 6, (5, 3), stride=(4, 2), padding=(2, 1), groups=2
    ),
    "convolution, depthwise": convolution_case((6, 5), 3, 6, (3, 2), groups=3),
    "convolution, 3-D": convolution_case(
        (5, 7, 6), 4, 2, (2, 3, 1), stride=(1, 2, 3), padding=(1, 0, 2), groups=2
    ),
    "transposed convolution, 1-D": transposed_case((11,), 3, 5, (4,), stride=3, padding=2),
    "transposed convolution, 2-D": transposed_case(
        (11, 14), 4, 6, (3, 4), stride=(2, 3), padding=(1, 2), dilation=(2, 3), groups=2
    ),
    "transposed convolution, 3-D": transposed_case((5, 7, 6), 2, 3, (2, 3, 1), stride=(1, 2, 3)),
    "max pooling, 1-D": pool_case("max", (12,), (4,), stride=3, padding=2),
    "max pooling, AlexNet's": pool_case("max", (13, 9), (3, 3), stride=2),
    "max pooling, stride > window": pool_case("max", (11, 13), (2, 3), stride=(3, 5)),
    "max pooling, 3-D": pool_case("max", (5, 7, 6), (2, 3, 2), stride=(1, 2, 3), padding=(1, 1, 0)),
    "average pooling, 1-D": pool_case("average", (12,), (4,), stride=3, padding=2),
    "average pooling, 2-D": pool_case("average", (11, 9), (3, 2), stride=(2, 1), padding=(1, 0)),
    "average pooling, 3-D": pool_case("average", (5, 7, 6), (2, 3, 1), stride=(1, 2, 3)),
    "subsampling": Case(
        with_options(R.subsampling, window=(2, 3), stride=(3, 2)),
        with_options(R.subsampling_bp, window=(2, 3), stride=(3, 2)),
        torch_subsampling,
        numbers((2, 3, 8, 7), (3,), (3,)),
    ),
    "local response normalisation": Case(
        R.local_response_normalisation,
        R.local_response_normalisation_bp,
        torch_lrn,
        # as large as the responses of a first layer, so that the squares count beside k = 2
        tuple(60 * array for array in numbers((2, 7, 3, 4))),
    ),
    "batch normalisation, 1-D": Case(
        R.batch_normalisation,
        R.batch_normalisation_bp,
        torch_batch_norm,
        numbers((3, 2, 5), (2,), (2,)),
    ),
    "batch normalisation, 3-D": Case(
        R.batch_normalisation,
        R.batch_normalisation_bp,
        torch_batch_norm,
        numbers((3, 2, 5, 4, 7), (2,), (2,)),
    ),
    "addition": Case(R.addition, R.addition_bp, torch.add, numbers((3, 5), (3, 5))),
    "shortcut A": Case(
        with_options(R.shortcut_a, num_maps=5, stride=2),
        with_options(R.shortcut_a_bp, num_maps=5, stride=2),
        with_options(torch_shortcut, num_maps=5, stride=2),
        numbers((2, 3, 7, 6)),
    ),
    "residual block, same size": torch_block_case((7, 6), 3, 3, stride=1),
    "residual block, 1-D": torch_block_case((9,), 2, 5, stride=3),
    "residual block, 3-D": torch_block_case((5, 7, 4), 2, 3, stride=2),
    "simple RNN cell": Case(
        R.simple_rnn_cell, R.simple_rnn_cell_bp, one_step(torch_rnn), first_step(RNN)
    ),
    "GRU cell": Case(R.gru_cell, R.gru_cell_bp, one_step(torch_gru), first_step(GRU)),
    "LSTM cell": Case(R.lstm_cell, R.lstm_cell_bp, one_step(torch_lstm), first_step(LSTM)),
    "simple RNN": Case(*over_time(R.simple_rnn_cell, R.simple_rnn_cell_bp), torch_rnn, RNN),
    "GRU": Case(*over_time(R.gru_cell, R.gru_cell_bp), torch_gru, GRU),
    "LSTM": Case(*over_time(R.lstm_cell, R.lstm_cell_bp), torch_lstm, LSTM),
}


@pytest.mark.parametrize("name", CASES)
def test_pair_equals_torch_in_value_and_gradients(name: str) -> None:
    assert_pair(CASES[name])


def flipped_kernel(p: Any, x: Any, W: Any, b: Any, **options: Any) -> Any:
    dx, dW, db = R.convolution_bp(p, x, W, b, **options)
    return dx, dW[:, :, ::-1], db


def kernel_not_transposed(p: Any, x: Any, W: Any, b: Any, **options: Any) -> Any:
    flipped = np.flip(W, axis=tuple(range(2, W.ndim)))
    dx, _, _ = R.convolution_bp(p, x, flipped, b, **options)
    _, dW, db = R.convolution_bp(p, x, W, b, **options)
    return dx, dW, db


def bias_of_one_example(p: Any, x: Any, W: Any, b: Any, **options: Any) -> Any:
    dx, dW, _ = R.convolution_bp(p, x, W, b, **options)
    return dx, dW, p[0].sum(axis=tuple(range(1, x.ndim - 1)))


def forgotten_sum_over_time(cell: Any, cell_bp: Any) -> Any:
    """Shared weights receive the gradient of the first step alone."""

    def broken(p: Any, x: Any, state: Any, *weights: Any) -> Any:
        dx, dstate, *_ = R.through_time_bp(cell, cell_bp, p, x, state, *weights)
        first_x = x[:, :1]
        after = R.through_time(cell, x, state, *weights)
        later = R.through_time_bp(cell, cell_bp, p[:, 1:], x[:, 1:], after[:, 0], *weights)
        first_p = p[:, :1] + later[1][:, None]
        first = R.through_time_bp(cell, cell_bp, first_p, first_x, state, *weights)
        return dx, dstate, *first[2:]

    return broken


def forgotten_future(cell: Any, cell_bp: Any) -> Any:
    """Each step hears of its own output only: nothing comes back from the next step."""

    def broken(p: Any, x: Any, state: Any, *weights: Any) -> Any:
        def deaf(p: Any, x: Any, state: Any, *weights: Any) -> Any:
            dx, dstate, *rest = cell_bp(p, x, state, *weights)
            return dx, dstate * 0, *rest

        return R.through_time_bp(cell, deaf, p, x, state, *weights)

    return broken


def nudged(index: int, factor: float = 1.001) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """One gradient of the pair is a thousandth too large: a forgotten small term."""

    def spoil(f_bp: Callable[..., Any]) -> Callable[..., Any]:
        def broken(*arguments: Any) -> Any:
            found = f_bp(*arguments)
            parts = list(found) if isinstance(found, tuple) else [found]
            parts[index] = parts[index] * factor
            return tuple(parts)

        return broken

    return spoil


# What goes wrong in practice, each with the case that must notice it.
TWINS: dict[str, tuple[str, Callable[..., Any]]] = {
    "W instead of its transpose": (
        "fully_connected",
        lambda p, x, W, b: (p @ np.roll(W, 1, axis=1), p.T @ x, p.sum(axis=0)),
    ),
    "mean instead of sum over the batch": (
        "fully_connected",
        lambda p, x, W, b: (p @ W, p.T @ x, p.mean(axis=0)),
    ),
    "spread: one place instead of all": ("spread", lambda p, b: p.sum(axis=0)[:, 0, 0]),
    "tanh: y² at the input": ("tanh", lambda p, x: p * (1 - x**2)),
    "sigmoid: forgotten 1 − y": ("sigmoid", lambda p, x: p * R.sigmoid(x)),
    "ReLU passes everything": ("relu", lambda p, x: p),
    "dropout does not scale": ("dropout", lambda p, x: R.dropout_bp(p, x, (x > 0) * 1.0, 0.0)),
    "softmax without competition": ("softmax", lambda p, s: R.softmax(s) * (1 - R.softmax(s)) * p),
    "p instead of p − y": ("softmax cross-entropy", lambda p, s: p * R.softmax(s) / len(s)),
    "hinge: the true class is left out": (
        "hinge",
        lambda p, s: np.maximum(R.hinge_bp(p, s, np.array([4, 0, 3, 1, 4, 2, 0])) / p, 0) * p,
    ),
    "windows: overlap overwrites": (
        "windows, 2-D",
        lambda p, x: np.minimum(R.windows_bp(p, x, (2, 3)), p.max()),
    ),
    "convolution: dW is flipped": (
        "convolution, 2-D",
        with_options(flipped_kernel, padding=(2, 1)),
    ),
    "convolution: δ goes back with a flipped kernel": (
        "convolution, dilated",
        with_options(kernel_not_transposed, stride=(2, 3), padding=(1, 2), dilation=(2, 3)),
    ),
    "convolution: db of one example": (
        "convolution, 3-D",
        with_options(bias_of_one_example, stride=(1, 2, 3), padding=(1, 0, 2), groups=2),
    ),
    "transposed convolution: dW in the wrong order": (
        "transposed convolution, 3-D",
        lambda q, p, W: (
            R.transposed_convolution_bp(q, p, W, (5, 7, 6), stride=(1, 2, 3))[0],
            R.transposed_convolution_bp(q, p, W, (5, 7, 6), stride=(1, 2, 3))[1][::-1],
        ),
    ),
    "max pooling deals out like the average": (
        "max pooling, AlexNet's",
        lambda p, x: R.average_pooling_bp(p, x, (3, 3), stride=2),
    ),
    "average pooling without 1/F": (
        "average pooling, 2-D",
        lambda p, x: 6 * R.average_pooling_bp(p, x, (3, 2), stride=(2, 1), padding=(1, 0)),
    ),
    "subsampling by the mean": (
        "subsampling",
        lambda p, x, w, b: tuple(
            part / 6 for part in R.subsampling_bp(p, x, w, b, window=(2, 3), stride=(3, 2))
        ),
    ),
    "LRN: the squares do not answer": (
        "local response normalisation",
        lambda p, x: p * R.local_response_normalisation(x) / x,
    ),
    "batch normalisation: constant statistics": (
        "batch normalisation, 3-D",
        lambda p, x, gamma, beta: (
            p * R.spread(gamma, x.shape) / x.std(axis=(0, 2, 3, 4), keepdims=True),
            *R.batch_normalisation_bp(p, x, gamma, beta)[1:],
        ),
    ),
    "addition shares the gradient": ("addition", lambda p, x, z: (p / 2, p / 2)),
    "shortcut A keeps the wrong places": (
        "shortcut A",
        lambda p, x: np.roll(R.shortcut_a_bp(p, x, num_maps=5, stride=2), 1, axis=2),
    ),
    "residual block without its shortcut": (
        "residual block, 3-D",
        lambda p, x, *weights: (
            R.residual_block_bp(p, x, *weights, stride=2)[0]
            - R.shortcut_a_bp(p * (R.residual_block(x, *weights, stride=2) > 0), x, 3, 2),
            *R.residual_block_bp(p, x, *weights, stride=2)[1:],
        ),
    ),
    "simple RNN cell: dU": ("simple RNN cell", nudged(3)(R.simple_rnn_cell_bp)),
    "LSTM cell: dstate": ("LSTM cell", nudged(1)(R.lstm_cell_bp)),
    "GRU cell: dh": ("GRU cell", nudged(1)(R.gru_cell_bp)),
    "simple RNN: no sum over time": (
        "simple RNN",
        forgotten_sum_over_time(R.simple_rnn_cell, R.simple_rnn_cell_bp),
    ),
    "LSTM: no sum over time": (
        "LSTM",
        forgotten_sum_over_time(R.lstm_cell, R.lstm_cell_bp),
    ),
    "GRU: deaf to the future": ("GRU", forgotten_future(R.gru_cell, R.gru_cell_bp)),
}


@pytest.mark.parametrize("fault", TWINS)
def test_broken_twin_is_caught(fault: str) -> None:
    name, broken_bp = TWINS[fault]
    with pytest.raises(AssertionError, match="not close"):
        assert_pair(CASES[name]._replace(f_bp=broken_bp))


@pytest.mark.parametrize("name", CASES)
def test_a_thousandth_in_any_gradient_is_caught(name: str) -> None:
    case = CASES[name]
    for index in range(len(case.inputs)):
        with pytest.raises(AssertionError, match="not close"):
            assert_pair(case._replace(f_bp=nudged(index)(case.f_bp)))


def test_every_pair_has_a_case() -> None:
    """A function with a partner is compared above; LeNet as a whole has its own file."""
    partners = {name for name in dir(R) if f"{name}_bp" in dir(R)}
    compared = {name.split(",")[0].replace(" ", "_").replace("-", "_") for name in CASES}
    compared = {name.lower() for name in compared}
    assert partners - compared == {"lenet", "through_time"}
