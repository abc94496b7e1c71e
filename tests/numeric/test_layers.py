"""Layers against independent arithmetic, torch's own and the identities between them."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate import layers

EXACT = {"rtol": 1e-10, "atol": 1e-12}
SPACE = (6, 7, 9)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_loops(
    x: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    value: Callable[[Tensor, tuple[int, ...]], Tensor],
) -> Tensor:
    """`value(window, position)` at every place, one place at a time."""
    sizes = [(n - k) // s + 1 for n, k, s in zip(x.shape[2:], kernel, stride, strict=True)]
    places = []
    for place in itertools.product(*map(range, sizes)):
        cut = tuple(slice(o * s, o * s + k) for o, s, k in zip(place, stride, kernel, strict=True))
        places.append(value(x[(slice(None), slice(None), *cut)], place))
    return torch.stack(places, -1).view(*places[0].shape, *sizes)


@pytest.mark.parametrize("ndim", [1, 2, 3])
class TestConvolution:
    def options(self, ndim: int) -> dict[str, tuple[int, ...]]:
        return {
            "stride": (1, 2, 3)[3 - ndim :],
            "padding": (1, 0, 2)[3 - ndim :],
            "dilation": (2, 1, 2)[3 - ndim :],
        }

    def test_is_one_matrix_product(self, ndim: int) -> None:
        x, bias = draw(2, 3, *SPACE[3 - ndim :]), draw(4, seed=1)
        weight = draw(4, 3, *(2, 3, 4)[3 - ndim :], seed=2)
        torch_conv = (F.conv1d, F.conv2d, F.conv3d)[ndim - 1]
        expected = torch_conv(x, weight, bias, **self.options(ndim))
        ours = layers.matrix_convolution(x, weight, bias, **self.options(ndim))
        torch.testing.assert_close(ours, expected, **EXACT)
        flipped = layers.matrix_convolution(x, weight.flip(-1), bias, **self.options(ndim))
        assert not torch.allclose(flipped, expected, rtol=1e-3)

    def test_gradient_through_the_matrix(self, ndim: int) -> None:
        x = draw(1, 2, *SPACE[3 - ndim :]).requires_grad_()
        weight = draw(2, 2, *(2, 3, 4)[3 - ndim :], seed=2).requires_grad_()
        assert torch.autograd.gradcheck(
            lambda x, w: layers.matrix_convolution(x, w, **self.options(ndim)),
            (x, weight),
            fast_mode=True,
        )

    def test_transposed_convolution_is_the_adjoint(self, ndim: int) -> None:
        options = self.options(ndim)
        conv = layers.conv(ndim)(3, 4, (2, 3, 4)[3 - ndim :], bias=False, **options).double()
        x = draw(2, 3, *SPACE[3 - ndim :])
        y_hat = conv(x)
        y = draw(*y_hat.shape, seed=5)
        transposed = layers.transposed_conv(ndim)(
            4, 3, (2, 3, 4)[3 - ndim :], bias=False, **options
        ).double()
        transposed.weight.data = conv.weight.data
        back = transposed(y, output_size=x.shape[2:])
        torch.testing.assert_close((y_hat * y).sum(), (x * back).sum(), **EXACT)


def test_merged_bias_gives_the_same_scores() -> None:
    x, weight, bias = draw(5, 7), draw(3, 7, seed=1), draw(3, seed=2)
    expected = F.linear(x, weight, bias)
    ours = layers.append_one(x) @ layers.merge_bias(weight, bias).T
    torch.testing.assert_close(ours, expected, **EXACT)


@pytest.mark.parametrize("ndim", [1, 2, 3])
class TestLocallyConnected:
    def layer(self, ndim: int, **options: object) -> layers.LocallyConnected:
        made = layers.LocallyConnected(
            3,
            4,
            (2, 3, 4)[3 - ndim :],
            SPACE[3 - ndim :],
            ndim=ndim,
            **options,  # type: ignore[arg-type]
        ).double()
        made.weight.data = draw(*made.weight.shape, seed=4)
        if made.bias is not None:
            made.bias.data = draw(*made.bias.shape, seed=5)
        return made

    def test_by_loops(self, ndim: int) -> None:
        stride = (1, 2, 2)[3 - ndim :]
        layer = self.layer(ndim, stride=stride)
        assert layer.bias is not None
        bias = layer.bias.view(4, *layer.output_size)

        def value(window: Tensor, place: tuple[int, ...]) -> Tensor:
            return window.flatten(1) @ layer.weight[place].flatten(1).T + bias[:, *place]

        x = draw(2, 3, *SPACE[3 - ndim :])
        expected = by_loops(x, (2, 3, 4)[3 - ndim :], stride, value)
        torch.testing.assert_close(layer(x), expected, **EXACT)

    @pytest.mark.parametrize("bias", [True, False])
    def test_equal_kernels_are_a_convolution(self, ndim: int, bias: bool) -> None:
        options = {"stride": 2, "padding": 1, "dilation": 2, "bias": bias}
        layer = self.layer(ndim, **options)
        conv = layers.conv(ndim)(3, 4, (2, 3, 4)[3 - ndim :], **options).double()
        x = draw(2, 3, *SPACE[3 - ndim :])
        assert not torch.allclose(layer(x), conv(x), rtol=1e-3)
        layer.copy_convolution(conv)
        torch.testing.assert_close(layer(x), conv(x), **EXACT)

    def test_second_derivative(self, ndim: int) -> None:
        layer = self.layer(ndim, stride=3)
        x = draw(1, 3, *SPACE[3 - ndim :]).requires_grad_()
        assert torch.autograd.gradgradcheck(lambda x: layer(x).square(), (x,), fast_mode=True)


@pytest.mark.parametrize("ndim", [1, 2, 3])
class TestPooling:
    @pytest.mark.parametrize("mean", [False, True])
    def test_l2_by_loops(self, ndim: int, mean: bool) -> None:
        x = draw(2, 3, *SPACE[3 - ndim :])
        kernel, stride = (2, 3, 4)[3 - ndim :], (1, 2, 3)[3 - ndim :]

        def value(window: Tensor, _: tuple[int, ...]) -> Tensor:
            squares = window.flatten(2).square()
            return (squares.mean(2) if mean else squares.sum(2)).sqrt()

        layer = layers.L2Pool(kernel, stride, ndim=ndim, mean=mean)
        torch.testing.assert_close(layer(x), by_loops(x, kernel, stride, value), **EXACT)

    @pytest.mark.parametrize("ceil_mode", [False, True])
    def test_l2_with_padding_and_ceil_mode(self, ndim: int, ceil_mode: bool) -> None:
        x = draw(2, 3, *SPACE[3 - ndim :])
        layer = layers.L2Pool(3, 2, 1, ceil_mode=ceil_mode, ndim=ndim)
        # a window with one 1 in place of each value counts what the sum is over
        padded = F.pad(x, [1, 3] * ndim)
        all_windows = by_loops(
            padded, (3,) * ndim, (2,) * ndim, lambda w, _: w.flatten(2).norm(dim=2)
        )
        y = layer(x)
        kept = all_windows[(slice(None), slice(None), *(slice(n) for n in y.shape[2:]))]
        torch.testing.assert_close(y, kept, **EXACT)

    def test_l2_has_a_finite_gradient_at_zero(self, ndim: int) -> None:
        x = torch.zeros(1, 2, *SPACE[3 - ndim :], requires_grad=True)
        layers.L2Pool(2, ndim=ndim)(x).sum().backward()
        layers.L2FeaturePool(2)(x).sum().backward()
        assert x.grad is not None
        assert x.grad.count_nonzero() == 0

    def test_unpooling_puts_each_maximum_back(self, ndim: int) -> None:
        x = draw(2, 3, *SPACE[3 - ndim :])
        y, indices = layers.max_pool(ndim)(2, return_indices=True)(x)
        restored = layers.max_unpool(ndim)(2)(y, indices, output_size=x.shape)
        where = restored != 0
        assert where.sum() == y.numel()
        assert torch.equal(restored[where], x[where])
        again, _ = layers.max_pool(ndim)(2, return_indices=True)(restored.clamp(min=0))
        assert torch.equal(again, y.clamp(min=0))


class TestL2FeaturePool:
    def test_by_loops(self) -> None:
        x = draw(2, 7, 3, 4)
        expected = torch.stack([x[:, i : i + 3].norm(dim=1) for i in (0, 2, 4)], 1)
        torch.testing.assert_close(layers.L2FeaturePool(3, 2)(x), expected, **EXACT)


class TestLocalContrast:
    @pytest.mark.parametrize("window", ["gaussian", "box"])
    @pytest.mark.parametrize("across", [True, False])
    def test_by_loops(self, window: str, across: bool) -> None:
        x = draw(2, 3, 6, 7)
        size = (3, 5)
        layer = layers.LocalContrastNorm(size, window=window, across=across).double()  # type: ignore[arg-type]

        def weight(a: int, b: int, length: int) -> float:
            if abs(a - b) > length // 2:
                return 0.0
            return 1.0 if window == "box" else math.exp(-0.5 * ((a - b) / (length / 4)) ** 2)

        def local_mean(maps: Tensor) -> Tensor:  # (C, H, W), over C as well
            mean = torch.zeros(6, 7, dtype=torch.float64)
            for i, j in itertools.product(range(6), range(7)):
                w = torch.tensor(
                    [[weight(i, r, 3) * weight(j, c, 5) for c in range(7)] for r in range(6)],
                    dtype=torch.float64,
                )
                mean[i, j] = (maps.mean(0) * w).sum() / w.sum()
            return mean

        expected = torch.empty_like(x)
        for item in range(2):
            for chosen in [slice(0, 3)] if across else [slice(c, c + 1) for c in range(3)]:
                maps = x[item, chosen]
                centred = maps - local_mean(maps)
                deviation = local_mean(centred**2).sqrt()
                floor = deviation.mean().clamp(min=1e-4)
                expected[item, chosen] = centred / deviation.clamp(min=floor.item())
        torch.testing.assert_close(layer(x), expected, **EXACT)

    @pytest.mark.parametrize("ndim", [1, 2, 3])
    @pytest.mark.parametrize("across", [True, False])
    @pytest.mark.parametrize("level", [0.1, 123.456, -1e6])
    def test_constant_image_gives_exactly_zero(self, ndim: int, across: bool, level: float) -> None:
        layer = layers.LocalContrastNorm(5, ndim=ndim, across=across)
        y = layer(torch.full((2, 3, *SPACE[3 - ndim :]), level))
        assert y.count_nonzero() == 0

    def test_brightness_and_contrast_are_removed(self) -> None:
        x, layer = draw(2, 3, 12, 13), layers.LocalContrastNorm(5)
        torch.testing.assert_close(layer(x * 3.7 + 11), layer(x), rtol=1e-9, atol=1e-9)


class TestLocalResponse:
    def test_equation_of_the_paper(self) -> None:
        x = draw(2, 7, 3, 4) * 30
        layer = layers.LocalResponseNorm()
        expected = torch.empty_like(x)
        for i in range(7):
            near = x[:, max(0, i - 2) : min(7, i + 3)]
            expected[:, i] = x[:, i] / (2 + 1e-4 * (near**2).sum(1)) ** 0.75
        torch.testing.assert_close(layer(x), expected, **EXACT)
        torchs = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0)
        assert not torch.allclose(torchs(x), expected, rtol=1e-3)

    @pytest.mark.parametrize("size", [1, 4, 5])
    @pytest.mark.parametrize("beta", [0.75, 0.5])
    def test_torchs_divides_alpha_by_the_size(self, size: int, beta: float) -> None:
        x = draw(2, 7, 3, 4, 5) * 30
        torchs = nn.LocalResponseNorm(size, alpha=1e-3 * size, beta=beta, k=1.5)
        ours = layers.LocalResponseNorm(size, alpha=1e-3, beta=beta, k=1.5)
        torch.testing.assert_close(ours(x), torchs(x), **EXACT)


def test_channel_norm_equals_layer_norm_with_channels_last() -> None:
    x = draw(2, 5, 3, 4)
    layer, reference = layers.ChannelNorm(5).double(), nn.LayerNorm(5, eps=1e-6).double()
    for parameter, other in zip(layer.parameters(), reference.parameters(), strict=True):
        parameter.data = other.data = draw(5, seed=9)
    expected = reference(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(layer(x), expected, **EXACT)


class TestActivation:
    def test_values(self) -> None:
        x = draw(3, 6)
        a = x.numpy()
        expected = {
            "tanh": np.tanh(a),
            "sigmoid": 1 / (1 + np.exp(-a)),
            "relu": np.maximum(a, 0),
            "rectified_tanh": np.maximum(np.tanh(a), 0),
            "rectified_sigmoid": np.maximum(1 / (1 + np.exp(-a)) - 0.5, 0),
            "leaky_relu": np.where(a > 0, a, 0.01 * a),
            "prelu": np.where(a > 0, a, 0.25 * a),
            "elu": np.where(a > 0, a, np.expm1(a)),
            "gelu": a * np.array([[0.5 * (1 + math.erf(v / 2**0.5)) for v in row] for row in a]),
            "silu": a / (1 + np.exp(-a)),
            "softmax": np.exp(a) / np.exp(a).sum(1, keepdims=True),
            "maxout": a.reshape(3, 3, 2).max(2),
        }
        assert set(expected) == set(layers.ACTIVATIONS)
        for name, value in expected.items():
            ours = layers.activation(name).double()(x)
            torch.testing.assert_close(ours, torch.from_numpy(value), rtol=1e-7, atol=1e-12)


class TestDropout:
    @pytest.mark.parametrize("p", [0.1, 0.5, 0.87])
    def test_probability_and_mean_have_no_bias(self, p: float) -> None:
        torch.manual_seed(3)
        count = 4_000_000
        y = layers.dropout(torch.full((count,), 2.0, dtype=torch.float64), p)
        dropped = (y == 0).double().mean().item()
        # five deviations of a share of `count` draws, and the rounding to 2^-16
        assert abs(dropped - p) < 5 * math.sqrt(p * (1 - p) / count) + 2**-17
        assert abs(y.mean().item() / 2 - 1) < 5 * math.sqrt(p / (1 - p) / count)
        kept = y[y != 0]
        assert kept.unique().numel() == 1
        assert abs(kept[0].item() * (1 - p) / 2 - 1) < 2**-17 / (1 - p)

    def test_neighbours_are_independent(self) -> None:
        torch.manual_seed(4)
        kept = (layers.dropout(torch.full((1_000_003,), 1.0), 0.5) != 0).double() - 0.5
        for lag in (1, 2, 3, 4, 5, 8, 16, 64, 1024):
            correlation = (kept[lag:] * kept[:-lag]).mean().item() * 4
            assert abs(correlation) < 5 / math.sqrt(1_000_003)

    def test_repeats_by_seed_and_differs_between_calls(self) -> None:
        x = draw(31, 17)
        torch.manual_seed(5)
        first, second = layers.dropout(x), layers.dropout(x)
        torch.manual_seed(5)
        assert torch.equal(layers.dropout(x), first)
        assert not torch.equal(first, second)

    def test_gradient_uses_the_same_mask(self) -> None:
        x = draw(4, 5, 6).requires_grad_()
        y = layers.dropout(x, 0.3)
        given = draw(4, 5, 6, seed=1)
        y.backward(given)
        mask = torch.where(y.detach() != 0, y.detach() / x.detach(), 0)
        torch.testing.assert_close(x.grad, given * mask, **EXACT)
        assert 0 < int((mask == 0).sum()) < mask.numel()

    @pytest.mark.parametrize("p", [0.0, 1.0, 1e-9])
    def test_limits(self, p: float) -> None:
        x = draw(7, 3)
        torch.testing.assert_close(layers.dropout(x, p), x * (p < 1), rtol=0, atol=0)

    def test_layouts_that_are_not_contiguous(self) -> None:
        x = draw(2, 3, 8, 10)
        for view in (x.to(memory_format=torch.channels_last), x[:, :, ::2, 1:], x.transpose(0, 3)):
            y = layers.dropout(view, 0.25)
            kept = y != 0
            torch.testing.assert_close(y[kept], view[kept] / 0.75, **EXACT)
            assert 0 < int(kept.sum()) < kept.numel()
            assert y.stride() == torch.empty_like(view).stride()

    def test_half_precision(self) -> None:
        y = layers.dropout(torch.full((1000,), 3.0, dtype=torch.bfloat16), 0.25)
        assert y.dtype == torch.bfloat16
        assert set(y.tolist()) == {0.0, 4.0}

    def test_module_is_off_in_evaluation(self) -> None:
        x = draw(5, 6)
        assert layers.Dropout(0.5).eval()(x) is x

    def test_stochastic_depth_drops_whole_items(self) -> None:
        torch.manual_seed(6)
        x = draw(20_000, 2, 3)
        y = layers.StochasticDepth(0.3)(x)
        dropped = (y == 0).flatten(1)
        assert torch.equal(dropped.any(1), dropped.all(1))
        torch.testing.assert_close(y[~dropped[:, 0]], x[~dropped[:, 0]] / 0.7, **EXACT)
        share = dropped[:, 0].double().mean().item()
        assert abs(share - 0.3) < 5 * math.sqrt(0.3 * 0.7 / 20_000)


PAIRS = [
    (layers.SimpleRNNCell, nn.RNNCell, nn.RNN),
    (layers.GRUCell, nn.GRUCell, nn.GRU),
    (layers.LSTMCell, nn.LSTMCell, nn.LSTM),
]


@pytest.mark.parametrize(("ours", "torchs", "sequence"), PAIRS, ids=lambda kind: kind.__name__)
class TestRecurrent:
    TIGHT = {"rtol": 1e-12, "atol": 1e-12}  # noqa: RUF012

    def test_one_step_equals_torch(self, ours: type, torchs: type, sequence: type) -> None:
        cell, reference = ours(5, 7).double(), torchs(5, 7).double()
        cell.load_state_dict(reference.state_dict())
        x = draw(3, 5)
        state = tuple(draw(3, 7, seed=s) for s in range(cell.num_states))
        expected = reference(x, state if cell.num_states > 1 else state[0])
        expected = expected if isinstance(expected, tuple) else (expected,)
        torch.testing.assert_close(cell(x, state), expected, **self.TIGHT)
        zero = reference(x)
        zero = zero if isinstance(zero, tuple) else (zero,)
        torch.testing.assert_close(cell(x), zero, **self.TIGHT)
        with torch.no_grad():
            cell.bias_hh[0] += 1e-6
        assert not torch.allclose(cell(x, state)[0], expected[0], **self.TIGHT)

    def test_sequence_equals_torch_in_value_and_gradient(
        self, ours: type, torchs: type, sequence: type
    ) -> None:
        cell, reference = ours(5, 7).double(), sequence(5, 7).double()
        for name, parameter in cell.named_parameters():
            parameter.data = getattr(reference, f"{name}_l0").data.clone()
        x = draw(11, 3, 5).requires_grad_()
        other = x.detach().clone().requires_grad_()
        outputs, last = layers.unroll(cell, x)
        expected, expected_last = reference(other)
        if not isinstance(expected_last, tuple):
            expected_last = (expected_last,)
        torch.testing.assert_close(outputs, expected, **self.TIGHT)
        torch.testing.assert_close(last, tuple(s[0] for s in expected_last), **self.TIGHT)
        weight = draw(*outputs.shape, seed=8)
        (outputs * weight).sum().backward()
        (expected * weight).sum().backward()
        torch.testing.assert_close(x.grad, other.grad, **self.TIGHT)
        for name, parameter in cell.named_parameters():
            torch.testing.assert_close(
                parameter.grad, getattr(reference, f"{name}_l0").grad, **self.TIGHT
            )

    def test_gradient_equals_finite_differences(
        self, ours: type, torchs: type, sequence: type
    ) -> None:
        cell = ours(2, 3).double()
        assert torch.autograd.gradcheck(
            lambda x, *_: layers.unroll(cell, x)[0],
            (draw(4, 2, 2).requires_grad_(), *cell.parameters()),
        )
