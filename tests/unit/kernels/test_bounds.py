"""Native code reads and writes nothing but what belongs to it, whatever an operator is given."""

import jaxtyping
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch._subclasses import FakeTensorMode

from striate import kernels
from striate.errors import DataError, ShapeError


@pytest.fixture(autouse=True)
def annotations_are_not_checked(monkeypatch):
    """As for a user: the operators' own checks are what holds."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(params=[torch.bfloat16, torch.float64])
def another_default(request):
    torch.set_default_dtype(request.param)
    yield
    torch.set_default_dtype(torch.float32)


def values(*shape):
    y = torch.randn(shape, dtype=torch.float32, generator=torch.Generator().manual_seed(1))
    return y.contiguous(memory_format=torch.channels_last) if y.ndim == 4 else y


@pytest.mark.parametrize("method", ["winograd4", "direct", "depthwise"])
def test_convolutions_write_float32_whatever_the_default_is(another_default, method):
    groups = 16 if method == "depthwise" else 1
    x, w = values(2, 16, 9, 8), values(16, 16 // groups, 3, 3)
    leaves = [t.requires_grad_() for t in (x, w, torch.zeros(16, dtype=torch.float32))]
    y = kernels.convolution(*leaves, (1, 1), (1, 1), (1, 1), groups, ",".join([method] * 3))
    expected = F.conv2d(*leaves, padding=1, groups=groups)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)
    for a, b in zip(
        torch.autograd.grad(y.square().sum(), leaves),
        torch.autograd.grad(expected.square().sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_other_operators_write_float32_whatever_the_default_is(another_default):
    x, w = values(32, 8).requires_grad_(), values(6, 8).requires_grad_()
    for found, expected in (
        (kernels.linear(x, w), F.linear(x, w)),
        (kernels.max_pool2d(values(2, 16, 8, 6), 2), F.max_pool2d(values(2, 16, 8, 6), 2)),
        (
            kernels.norm_act(values(4, 16, 5, 3)),
            F.batch_norm(values(4, 16, 5, 3), None, None, training=True),
        ),
    ):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    for a, b in zip(
        torch.autograd.grad(kernels.linear(x, w).square().sum(), (x, w)),
        torch.autograd.grad(F.linear(x, w).square().sum(), (x, w)),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_results_lie_on_the_cpu_whatever_the_default_device_is():
    x, w, rows = values(2, 16, 8, 8), values(16, 16, 3, 3), values(32, 16)
    with torch.device("meta"):
        made = [
            kernels.convolution(x, w, methods="winograd4,torch,torch"),
            kernels.max_pool2d(x, 2),
            kernels.linear(rows, rows),
        ]
    assert all(y.device.type == "cpu" for y in made)
    torch.testing.assert_close(made[1], F.max_pool2d(x, 2))
    torch.testing.assert_close(made[2], F.linear(rows, rows), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["winograd4", "direct"])
@pytest.mark.parametrize(
    "sizes",
    [
        {"stride": (1, 1, 5), "padding": (1, 1)},
        {"padding": (1, 1, 0)},
        {"padding": (1, 1), "dilation": (1, 1, 1)},
        {"stride": (2**64 + 1, 1)},
        {"padding": (1, 1), "dilation": (0, 1)},
    ],
)
def test_sizes_that_are_no_pairs_of_ordinary_numbers_are_left_to_torch(method, sizes):
    x, w = values(2, 16, 8, 8), values(16, 16, 3, 3)
    with pytest.raises((RuntimeError, TypeError)) as told:
        kernels.convolution(x, w, **sizes, methods=f"{method},torch,torch")
    assert "refused its arguments" not in str(told.value)


def test_channels_that_groups_do_not_divide_are_left_to_torch():
    with pytest.raises(RuntimeError, match="divisible"):
        kernels.convolution(
            values(1, 4, 5, 5), values(3, 2, 3, 3), groups=2, methods="direct,torch,torch"
        )


class TestNorm:
    x = values(2, 32, 5, 6)
    ones, few = torch.ones(32), torch.ones(24)

    @pytest.mark.parametrize("which", range(4))
    @pytest.mark.parametrize("training", [True, False])
    def test_numbers_of_other_channels_are_refused_as_torch_does(self, which, training):
        channels = [self.ones, self.ones, self.ones.clone(), self.ones.clone()]
        channels[which] = self.few
        with pytest.raises(RuntimeError, match="32 elements not 24"):
            kernels.norm_act(self.x, *channels, training)

    def test_a_gradient_of_the_residual_is_that_of_the_output_without_an_activation(self):
        grad, residual = values(2, 32, 5, 6) * 3, values(2, 32, 5, 6).requires_grad_()
        y = kernels.norm_act(self.x.clone().requires_grad_(), residual=residual)
        torch.testing.assert_close(torch.autograd.grad(y, residual, grad)[0], grad)

    @pytest.mark.parametrize("layout", ["last", "first"])
    def test_a_residual_in_any_layout_or_of_another_shape_is_added_as_torch_does(self, layout):
        own = (self.ones, self.ones, self.ones, self.ones)
        whole = values(2, 32, 5, 6) if layout == "last" else torch.randn(2, 32, 5, 6)
        for residual in (whole, torch.full((1, 32, 1, 1), 0.5)):
            y = kernels.norm_act(self.x, *own, False, 0.1, 1e-5, "relu", residual)
            expected = torch.relu(F.batch_norm(self.x, *own, eps=1e-5) + residual)
            torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-6)

    def test_statistics_that_repeat_one_number_have_the_gradients_of_whole_ones(self):
        found = []
        for mean in (torch.full((1,), 0.3).expand(32), torch.full((32,), 0.3)):
            x = self.x.clone().requires_grad_()
            weight = torch.linspace(0.5, 2, 32).requires_grad_()
            y = kernels.norm_act(x, weight, None, mean, self.ones, False, activation="gelu")
            found.append(torch.autograd.grad(y.square().sum(), (x, weight)))
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_gradients_that_repeat_one_number_are_read_as_whole_ones():
    """The gradient of a sum is one number, expanded."""
    x, w = values(2, 16, 8, 8).requires_grad_(), values(16, 16, 3, 3).requires_grad_()
    rows = values(32, 16).requires_grad_()
    large = values(100_000).requires_grad_()
    for call, leaves in (
        (lambda: kernels.convolution(x, w, methods="winograd4,winograd4,direct"), (x, w)),
        (lambda: kernels.norm_act(x, activation="relu"), (x,)),
        (lambda: kernels.max_pool2d(x, 2), (x,)),
        (lambda: kernels.linear(rows, rows), (rows,)),
        (lambda: kernels.activate(large, "gelu"), (large,)),
    ):
        y = call()
        expanded = torch.autograd.grad(y.sum(), leaves, retain_graph=True)
        whole = torch.autograd.grad(y, leaves, torch.ones_like(y))
        assert all(torch.equal(a, b) for a, b in zip(expanded, whole, strict=True))


class TestPool:
    @pytest.mark.parametrize("padding", [[1], 1])
    def test_one_number_stands_for_both_sides(self, padding):
        x = values(1, 16, 8, 9)
        expected = F.max_pool2d(x, 3, 2, 1)
        assert torch.equal(kernels.max_pool2d(x, [3], [2], padding, [1]), expected)

    def test_lists_that_are_no_pairs_are_refused_as_torch_does(self):
        with pytest.raises(RuntimeError, match="two ints"):
            kernels.max_pool2d(values(1, 16, 8, 8), [2, 2, 2])

    def test_more_padding_than_half_the_window_is_told_as_torch_does(self):
        with pytest.raises(RuntimeError, match="half of"):
            kernels.max_pool2d(values(2, 16, 8, 9), 3, 1, 2, 2)


class TestBatch:
    stored = np.arange(4 * 5 * 6 * 3, dtype=np.uint8).reshape(4, 5, 6, 3)
    given = {  # noqa: RUF012
        "images": stored,
        "index": np.array([1, 3]),
        "rows": torch.arange(5).expand(2, 5),
        "columns": torch.arange(6).expand(2, 6),
        "table": torch.arange(256.0).expand(3, 256),
    }

    @pytest.mark.parametrize(
        "wrong",
        [
            {"index": np.zeros(100_000, np.int64)},
            {"index": np.zeros((2, 0), np.int64)},
            {"rows": torch.arange(5).expand(1, 5)},
            {"columns": torch.arange(6).expand(1, 6)},
            {"table": torch.zeros(1, 256)},
            {"table": torch.zeros(3, 10)},
            {"images": stored.astype(np.float32)},
        ],
    )
    def test_arrays_that_do_not_belong_together_are_refused(self, wrong):
        whole = kernels.augmented_batch(**self.given)
        assert torch.equal(whole, torch.from_numpy(self.stored[[1, 3]]).permute(0, 3, 1, 2).float())
        with pytest.raises(ShapeError, match="are expected"):
            kernels.augmented_batch(**self.given | wrong)

    def test_a_row_beyond_32_bits_does_not_come_back_as_another(self):
        rows = torch.arange(5).expand(2, 5) + 2**32
        with pytest.raises(DataError, match="do not have"):
            kernels.augmented_batch(**self.given | {"rows": rows})


def test_tensors_without_memory_are_left_to_torch():
    mode = FakeTensorMode()
    rows, images = mode.from_tensor(torch.ones(32, 8)), mode.from_tensor(torch.ones(2, 16, 8, 8))
    weight = mode.from_tensor(torch.ones(16, 16, 3, 3))
    with mode:
        assert kernels.linear(rows, rows).shape == (32, 32)
        y = kernels.convolution(images, weight, padding=(1, 1), methods="winograd4,torch,torch")
        assert y.shape == (2, 16, 8, 8)
