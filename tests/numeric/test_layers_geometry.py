"""Receptive fields, sizes and costs against what running a network shows."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import ShapeError
from striate.layers import (
    ChannelNorm,
    Dropout,
    L2Pool,
    LocallyConnected,
    LocalResponseNorm,
)
from striate.layers.geometry import AxisField, format_ledger, ledger, receptive_field

Stretch = tuple[int, int] | None


def footprint(network: nn.Module, x: Tensor, axis: int) -> list[Stretch]:
    """The pixels along one axis that each unit's gradient reaches, first and last."""
    x = x.clone().requires_grad_()
    y = network(x)
    found: list[Stretch] = []
    for unit in range(y.shape[2 + axis]):
        (gradient,) = torch.autograd.grad(
            y.select(2 + axis, unit).sum(), x, retain_graph=True, materialize_grads=True
        )
        line = gradient.abs().movedim(2 + axis, 0).flatten(1).sum(1).nonzero().flatten().tolist()
        found.append((line[0], line[-1]) if line else None)
    return found


def positive(network: nn.Module) -> nn.Module:
    """Weights between 1 and 2, so that no two paths cancel, in float64."""
    draw = torch.Generator().manual_seed(0)
    for parameter in network.double().parameters():
        parameter.data = 1 + torch.rand(parameter.shape, generator=draw, dtype=torch.float64)
    return network.eval()


class Inception(nn.Module):
    """Parallel paths of other sizes, one with a pooling inside."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(2, 2, 1)
        self.five = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Conv2d(2, 1, (5, 3), padding=(2, 1)))
        self.pool = nn.Sequential(nn.AvgPool2d(3, 1, 1), nn.Conv2d(2, 1, 1))
        self.down = nn.AvgPool2d((2, 3), (3, 2), ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.down(torch.cat((self.one(x), self.five(x), self.pool(x)), 1))
        return y


class Residual(nn.Module):
    """A strided block with a projection, one reused block, and an in-place sum."""

    def __init__(self) -> None:
        super().__init__()
        self.long = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2, padding=1),
            nn.BatchNorm2d(4),
            nn.Conv2d(4, 4, 3, padding=1),
        )
        self.short = nn.Conv2d(3, 4, 1, stride=2)
        self.again = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.long(x)
        y += self.short(x)
        y = y + self.again(y)
        result: Tensor = y + self.again(F.relu(y, inplace=True))
        return result


class Dense(nn.Module):
    """Each layer reads all before it."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(2 + 3 * i, 3, 2 + i, padding=1) for i in range(3))

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            y = conv(x)
            x = torch.cat((x[..., : y.shape[2]], y[..., : x.shape[2]]), 1)
        return x


class UNet(nn.Module):
    """Down, up by a transposed convolution, cropped skip."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 2, 3)
        self.down = nn.AvgPool2d(2)
        self.deep = nn.Conv2d(2, 3, 3, padding=1)
        self.up = nn.ConvTranspose2d(3, 2, kernel, stride=stride)
        self.last = nn.Conv2d(4, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.first(x)
        up = self.up(self.deep(self.down(skip)))
        height, width = min(skip.shape[2], up.shape[2]), min(skip.shape[3], up.shape[3])
        at = (skip.shape[2] - height) // 2
        skip = skip[:, :, at : at + height, :width]
        y: Tensor = self.last(torch.cat((skip, up[:, :, :height, :width]), 1))
        return y


class Gate(nn.Module):
    """Channels weighed by what the whole image holds."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.gate = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        weight = torch.sigmoid(0.01 * self.gate(y.mean((2, 3))))
        return y * weight[:, :, None, None]


class Upsampled(nn.Module):
    def __init__(self, mode: str, align_corners: bool | None = None) -> None:
        super().__init__()
        self.down, self.conv = nn.Conv2d(1, 1, 3, stride=2), nn.Conv2d(1, 1, 2)
        self.mode, self.align_corners = mode, align_corners

    def forward(self, x: Tensor) -> Tensor:
        y = self.down(x)
        size = (y.shape[2] * 3, y.shape[3] * 2)
        up = F.interpolate(y, size, mode=self.mode, align_corners=self.align_corners)
        result: Tensor = self.conv(up)
        return result


CASES: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "stride beyond the kernel": (
        nn.Sequential(nn.Conv2d(1, 2, (1, 2), stride=(3, 4)), nn.Conv2d(2, 1, 2, padding=1)),
        (1, 17, 23),
    ),
    "dilation, even kernels, padding": (
        nn.Sequential(
            nn.Conv2d(2, 3, (2, 4), padding=(1, 3), dilation=(3, 2)),
            nn.Conv2d(3, 1, (4, 3), stride=(1, 2), dilation=2, padding=2),
        ),
        (2, 15, 19),
    ),
    "ceil mode": (
        nn.Sequential(
            nn.AvgPool1d(3, 2, 1, ceil_mode=True), nn.Conv1d(1, 1, 3, padding=1),
            nn.AvgPool1d(2, 3, ceil_mode=True),
        ),
        (1, 20),
    ),
    "three dimensions": (
        nn.Sequential(nn.Conv3d(1, 2, (1, 2, 3), stride=(1, 2, 1)), nn.AvgPool3d(2, (1, 2, 3))),
        (1, 4, 9, 11),
    ),
    "inception": (Inception(), (2, 13, 18)),
    "residual": (Residual(), (3, 17, 22)),
    "dense": (Dense(), (2, 14)),
    "u-net": (UNet(2, 2), (1, 19, 23)),
    "u-net, overlapping": (UNet(3, 2), (1, 19, 23)),
    "u-net, holes": (UNet(2, 3), (1, 19, 23)),
    "gate": (Gate(), (2, 9, 12)),
    "nearest": (Upsampled("nearest"), (1, 13, 18)),
    "bilinear": (Upsampled("bilinear", False), (1, 13, 18)),
    "bilinear, aligned": (Upsampled("bilinear", True), (1, 13, 18)),
    "adaptive": (
        nn.Sequential(nn.Conv2d(1, 1, 2, stride=2), nn.AdaptiveAvgPool2d((3, 4))), (1, 17, 23)
    ),
    "mirrored border": (
        nn.Sequential(nn.ReflectionPad2d((3, 2, 1, 2)), nn.Conv2d(1, 1, 3, stride=2)), (1, 9, 12)
    ),
    "repeated border": (
        nn.Sequential(nn.ReplicationPad2d((3, 2, 1, 2)), nn.Conv2d(1, 1, 3, stride=2)), (1, 9, 12)
    ),
    "zero border and crop": (
        nn.Sequential(nn.ZeroPad2d((3, -2, 1, 2)), nn.Conv2d(1, 1, 3, stride=2)), (1, 9, 12)
    ),
    "own layers": (
        nn.Sequential(
            LocallyConnected(2, 3, (2, 3), (11, 14), stride=(2, 1), padding=1, dilation=(1, 2)),
            LocalResponseNorm(), Dropout(), L2Pool(2, (3, 2), 1), ChannelNorm(3),
        ),
        (2, 11, 14),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_field_equals_the_gradient_footprint(name: str) -> None:
    network, shape = CASES[name]
    network = positive(network)
    fields = receptive_field(network, shape)
    draw = torch.Generator().manual_seed(1)
    x = 1 + torch.rand((1, *shape), generator=draw, dtype=torch.float64)
    met_unbounded = 0
    for axis, field in enumerate(fields):
        measured = footprint(network, x, axis)
        assert list(field.inside) == measured
        met_unbounded += check_unbounded(field, shape[1 + axis])
    # Without such a unit: all see the whole image, or branches of other strides drift apart.
    assert met_unbounded or name in ("gate", "adaptive", "u-net, holes")


def check_unbounded(field: AxisField, size: int) -> int:
    """No unit off the border sees more than `size` says; for how many does the formula hold."""
    same = 0
    for index, seen in enumerate(field.inside):
        if seen is None:
            continue
        same += seen == field.unit(index)
        if seen[0] > 0 and seen[1] < size - 1:
            assert seen[1] - seen[0] + 1 <= field.size
    return same


@pytest.mark.parametrize("pool", [(2, 2, 0), (3, 2, 1)])
def test_unpooling_reaches_back_through_the_indices(pool: tuple[int, int, int]) -> None:
    class Segment(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.deep, self.last = (nn.Conv2d(1, 1, 3, padding=1) for _ in range(3))
            self.pool = nn.MaxPool2d(*pool, return_indices=True)
            self.unpool = nn.MaxUnpool2d(*pool)

        def forward(self, x: Tensor) -> Tensor:
            y, indices = self.pool(self.first(x))
            restored: Tensor = self.last(self.unpool(self.deep(y), indices, output_size=x.shape))
            return restored

    network = positive(Segment())
    draw = torch.Generator().manual_seed(1)
    fields = receptive_field(network, (1, 10, 12))
    for axis, field in enumerate(fields):
        reached: list[set[int]] = [set() for _ in field.inside]
        for _ in range(60):  # one image shows only the places of its own maxima
            x = torch.rand((1, 1, 10, 12), generator=draw, dtype=torch.float64)
            for unit, seen in enumerate(footprint(network, x, axis)):
                reached[unit] |= set(seen or ())
        measured = [(min(seen), max(seen)) for seen in reached]
        assert measured == list(field.inside)


def test_max_pooling_has_the_field_of_average_pooling() -> None:
    options = {"kernel_size": (3, 2), "stride": (2, 3), "padding": 1, "ceil_mode": True}
    fields = [
        receptive_field(nn.Sequential(nn.Conv2d(1, 1, 3), pool(**options)), (1, 16, 21))
        for pool in (nn.MaxPool2d, nn.AvgPool2d)
    ]
    assert fields[0] == fields[1]


class TestFormulas:
    @pytest.mark.parametrize(("k", "p"), [(5, 2), (4, 3)])
    def test_convolution_then_pooling_sees_k_plus_p_minus_1(self, k: int, p: int) -> None:
        (field,) = receptive_field(nn.Sequential(nn.Conv1d(1, 1, k), nn.MaxPool1d(p)), (1, 40))
        assert (field.size, field.stride) == (k + p - 1, p)
        assert field.centre == (k + p - 2) / 2

    def test_alexnet_by_the_recurrence_of_araujo(self) -> None:
        windows = [(11, 4, 2), (3, 2, 0), (5, 1, 2), (3, 2, 0), (3, 1, 1), (3, 1, 1), (3, 1, 1),
                   (3, 2, 0)]  # fmt: skip
        modules: list[nn.Module] = []
        size, stride, start = 1, 1, 0.0
        for k, s, p in windows:
            modules.append(nn.Conv2d(1, 1, k, s, p))
            start += ((k - 1) / 2 - p) * stride
            size += (k - 1) * stride
            stride *= s
        field, _ = receptive_field(nn.Sequential(*modules), (1, 224, 240))
        assert (field.size, field.stride, field.centre) == (size, stride, start)
        assert size == 195

    def test_resnet_18_sees_435_pixels(self) -> None:
        modules: list[nn.Module] = [nn.Conv2d(1, 1, 7, 2, 3), nn.MaxPool2d(3, 2, 1)]
        for stage in range(4):
            for block in range(2):
                stride = 2 if stage and not block else 1
                modules += [nn.Conv2d(1, 1, 3, stride, 1), nn.Conv2d(1, 1, 3, 1, 1)]
        field, _ = receptive_field(nn.Sequential(*modules), (1, 224, 224))
        assert (field.size, field.stride, field.centre) == (435, 32, 0.0)


class TestLedger:
    def test_lenet_by_hand(self) -> None:
        network = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5),
            nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 120),
        )  # fmt: skip
        rows = ledger(network, (1, 28, 28))
        assert [row.parameters for row in rows] == [156, 0, 0, 2416, 0, 0, 48120]
        assert [row.multiply_adds for row in rows] == [
            6 * 25 * 28 * 28, 0, 0, 16 * 6 * 25 * 100, 0, 0, 48000,
        ]  # fmt: skip
        assert [row.output_shape for row in rows][-3:] == [(16, 5, 5), (400,), (120,)]
        assert [row.field_size for row in rows][:5] == [(5, 5), (5, 5), (6, 6), (14, 14), (16, 16)]

    @pytest.mark.parametrize("ndim", [1, 2, 3])
    def test_cost_of_every_kind_of_convolution(self, ndim: int) -> None:
        space = (5, 6, 7)[3 - ndim :]
        kernel = (1, 2, 3)[3 - ndim :]
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[ndim - 1](6, 4, kernel, groups=2)
        out = [n - k + 1 for n, k in zip(space, kernel, strict=True)]
        (row,) = ledger(conv, (6, *space))
        assert row.multiply_adds == 4 * 3 * math.prod(kernel) * math.prod(out)
        transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[ndim - 1](
            6, 4, kernel, stride=2, groups=2
        )
        (row,) = ledger(transposed, (6, *space))
        assert row.multiply_adds == 6 * 2 * math.prod(kernel) * math.prod(space)
        local = LocallyConnected(6, 4, kernel, space, ndim=ndim)
        (row,) = ledger(local, (6, *space))
        assert row.multiply_adds == 4 * 6 * math.prod(kernel) * math.prod(out)
        assert row.output_shape == (4, *out)

    def test_sizes_equal_running_it(self) -> None:
        for network, shape in CASES.values():
            network = network.double()
            seen: list[tuple[int, ...]] = []
            leaves = [m for m in network.modules() if not list(m.children())]
            hooks = [
                m.register_forward_hook(lambda m, i, y, to=seen: to.append(tuple(y.shape[1:])))
                for m in leaves
            ]
            with torch.no_grad():
                network(torch.zeros((1, *shape), dtype=torch.float64))
            for hook in hooks:
                hook.remove()
            leaf_rows = [row.output_shape for row in ledger(network, shape)]
            assert leaf_rows == seen

    def test_reused_module_and_functional_products(self) -> None:
        class Attention(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.shared = nn.Linear(5, 5)
                self.scale = nn.Parameter(torch.ones(5))

            def forward(self, x: Tensor) -> Tensor:
                y = self.shared(self.shared(x)) * self.scale
                return (y @ y.transpose(1, 2)) @ y

        rows = ledger(Attention(), (7, 5))
        assert [(r.name, r.parameters, r.multiply_adds) for r in rows] == [
            ("shared", 30, 175), ("shared", 0, 175), ("", 5, 2 * 7 * 7 * 5),
        ]  # fmt: skip

    def test_leaves_the_network_alone(self) -> None:
        network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5))
        before = {key: value.clone() for key, value in network.state_dict().items()}
        state = torch.get_rng_state()
        ledger(network, (1, 8, 9))
        assert all(module.training for module in network.modules())
        assert not any(module._forward_hooks for module in network.modules())
        assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
        assert torch.equal(torch.get_rng_state(), state)

    def test_network_that_asks_for_values(self) -> None:
        class Loud(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return x[:, :, 1:] if x.sum().item() == 0 else x

        (field,) = receptive_field(nn.Sequential(nn.Conv1d(1, 1, 3), nn.ReLU()), (1, 9))
        (row,) = ledger(Loud(), (1, 9))
        assert row.output_shape == (1, 8)
        assert field.size == 3

    def test_what_cannot_be_followed_is_named(self) -> None:
        class Sorted(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return x.sort(-1).values

        network = nn.Sequential(nn.Conv1d(1, 1, 3), Sorted(), nn.ReLU())
        assert [row.field_size for row in ledger(network, (1, 9))] == [(3,), None, None]
        with pytest.raises(ShapeError, match="cannot be followed through sort in 1"):
            receptive_field(network, (1, 9))

    def test_input_that_does_not_fit(self) -> None:
        with pytest.raises(ShapeError, match=r"Conv2d cannot take an input of shape \(3, 2, 2\)"):
            ledger(nn.Conv2d(3, 4, 5), (3, 2, 2))

    def test_text(self) -> None:
        text = format_ledger(ledger(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), (3, 9, 11)))
        lines = text.splitlines()
        assert len(lines) == 4
        assert lines[1].split() == ["0", "Conv2d", "4×7×9", "112", "6,804", "3×3", "1×1", "1×1"]
        assert lines[-1].split() == ["total", "112", "6,804"]
