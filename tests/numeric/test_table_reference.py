"""Fields, multiply-adds and parameters against published figures; on the device meta."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.layers.geometry import receptive_field
from striate.layers.geometry.row import LayerRow
from striate.layers.geometry.trace import trace
from striate.networks import NETWORKS
from striate.registry import Pick
from striate.seeing.row import Row
from striate.seeing.table import Table, table

# (row, field, stride, effective padding): google-research/receptive_field, README.md and
# RECEPTIVE_FIELD_TABLE.md (Araujo, Norris and Sim, 2019), where they have the network; the others
# by the recurrence r += (k - 1) j, p += pad j, j *= s.
FIELDS: dict[str, tuple[Pick, list[tuple[str, int, int, int]]]] = {
    "alexnet": (
        Pick("alexnet_owt"),
        [
            ("features.0", 11, 4, 2), ("features.2", 19, 8, 2), ("features.3", 51, 8, 18),
            ("features.6", 99, 16, 34), ("features.8", 131, 16, 50), ("features.10", 163, 16, 66),
            ("features.12", 195, 32, 66),
        ],
    ),
    "vgg 16": (
        Pick("vgg", depth=16, batch_norm=False),
        [
            ("features.0", 3, 1, 1), ("features.4", 6, 2, 2), ("features.5", 10, 2, 4),
            ("features.9", 16, 4, 6), ("features.10", 24, 4, 10), ("features.12", 32, 4, 14),
            ("features.16", 44, 8, 18), ("features.17", 60, 8, 26), ("features.19", 76, 8, 34),
            ("features.23", 100, 16, 42), ("features.24", 132, 16, 58),
            ("features.26", 164, 16, 74), ("features.30", 212, 32, 90),
        ],
    ),
    "vgg 11": (
        Pick("vgg", depth=11, batch_norm=False),
        [
            ("features.2", 4, 2, 1), ("features.5", 10, 4, 3), ("features.10", 30, 8, 11),
            ("features.15", 70, 16, 27), ("features.20", 150, 32, 59),
        ],
    ),
    "resnet 50, stride in 1x1": (
        Pick("resnet", depth=50, stride_in_1x1=True),
        [
            ("stages.0", 35, 4, 17), ("stages.1", 99, 8, 49), ("stages.2", 291, 16, 145),
            ("stages.3", 483, 32, 241),
        ],
    ),
    "resnet 50": (
        Pick("resnet", depth=50),
        [
            ("stages.0", 35, 4, 17), ("stages.1", 91, 8, 45), ("stages.2", 267, 16, 133),
            ("stages.3", 427, 32, 213),
        ],
    ),
    "resnet 101, stride in 1x1": (
        Pick("resnet", depth=101, stride_in_1x1=True), [("stages.3", 1027, 32, 513)]
    ),
    "resnet 152, stride in 1x1": (
        Pick("resnet", depth=152, stride_in_1x1=True), [("stages.3", 1507, 32, 753)]
    ),
    "resnet 18": (
        Pick("resnet", depth=18),
        [
            ("stages.0", 43, 4, 21), ("stages.1", 99, 8, 49), ("stages.2", 211, 16, 105),
            ("stages.3", 435, 32, 217),
        ],
    ),
    "resnet 34": (
        Pick("resnet", depth=34),
        [
            ("stages.0", 59, 4, 29), ("stages.1", 179, 8, 89), ("stages.2", 547, 16, 273),
            ("stages.3", 899, 32, 449),
        ],
    ),
    "resnet 20": (Pick("resnet", depth=20), [("stages.2", 81, 4, 40)]),
    "resnet 32": (Pick("resnet", depth=32), [("stages.2", 137, 4, 68)]),
    "resnet 44": (Pick("resnet", depth=44), [("stages.2", 193, 4, 96)]),
    "resnet 56": (Pick("resnet", depth=56), [("stages.2", 249, 4, 124)]),
    "squeezenet": (
        Pick("squeezenet"),
        [
            ("conv1", 7, 2, 0), ("pool1", 11, 4, 0), ("fire4", 35, 4, 12), ("pool4", 43, 8, 12),
            ("fire8", 107, 8, 44), ("pool8", 123, 16, 44), ("fire9", 155, 16, 60),
            ("head", 155, 16, 60),
        ],
    ),
}  # fmt: skip

# Multiply-adds and parameters: torchvision's documentation (parameters, and multiply-adds where
# they are rounded), the others from the layers' shapes by hand.
COSTS: dict[str, tuple[Pick, int, int | float, int | None]] = {
    "alexnet": (Pick("alexnet_owt"), 224, 714_188_480, 61_100_840),
    "vgg 16": (Pick("vgg", depth=16, batch_norm=False), 224, 15_470_264_320, 138_357_544),
    "resnet 18": (Pick("resnet", depth=18), 224, 1_814_073_344, 11_689_512),
    "resnet 50": (Pick("resnet", depth=50), 224, 4_089_184_256, 25_557_032),
    "resnet 50, stride in 1x1": (
        Pick("resnet", depth=50, stride_in_1x1=True), 224, 3_857_973_248, 25_557_032
    ),
    "squeezenet": (Pick("squeezenet"), 224, 818_924_576, 1_248_424),
    "squeezenet at 227": (Pick("squeezenet"), 227, 832_667_936, 1_248_424),
    "densenet 121": (Pick("densenet", depth=121), 224, 2.834e9, 7_978_856),
    "googlenet": (Pick("googlenet", auxiliary=False), 224, 1.50e9, 6_624_904),
    "resnet 20": (Pick("resnet", depth=20), 32, 40_551_040, None),
    "resnet 32": (Pick("resnet", depth=32), 32, 68_862_592, None),
    "resnet 44": (Pick("resnet", depth=44), 32, 97_174_144, None),
    "resnet 56": (Pick("resnet", depth=56), 32, 125_485_696, None),
}  # fmt: skip


def is_cifar(pick: Pick) -> bool:
    return pick.name == "resnet" and pick.arguments["depth"] in (20, 32, 44, 56)


@cache
def table_of(name: str) -> Table:
    pick = FIELDS[name][0] if name in FIELDS else COSTS[name][0]
    side = 32 if is_cifar(pick) else COSTS[name][1] if name in COSTS else 64
    with torch.device("meta"):  # shapes alone: nothing is drawn or computed
        network = NETWORKS.build(pick, num_classes=10 if is_cifar(pick) else 1000)
        return table(network, torch.zeros(2, 3, side, side))


def padding_of(row: Row | LayerRow) -> list[float]:
    """Pixels of the image's border that the field of unit 0 has in the padding."""
    if isinstance(row, LayerRow):
        size, centre = row.field_size, row.field_centre
    else:
        size, centre = row.field, row.centre
    assert size is not None
    assert centre is not None
    return [(side - 1) / 2 - at for side, at in zip(size, centre, strict=True)]


@pytest.mark.parametrize("name", FIELDS)
def test_fields_strides_and_paddings_are_those_published(name: str) -> None:
    rows = {row.name: row for row in table_of(name).rows}
    rows |= {block.row.name: block.row for block in table_of(name).blocks}
    for layer, field, stride, padding in FIELDS[name][1]:
        row = rows[layer]
        assert (row.field, row.stride) == ((field, field), (stride, stride)), layer
        assert padding_of(row) == [padding, padding]
        assert row.status == "exact"


@pytest.mark.parametrize("name", COSTS)
def test_multiply_adds_and_parameters_are_those_published(name: str) -> None:
    _, _, multiply_adds, parameters = COSTS[name]
    total = table_of(name).total
    if isinstance(multiply_adds, float):
        digits = 3 if multiply_adds > 2e9 else 2
        assert round(total.multiply_adds / 1e9, digits) == multiply_adds / 1e9
    else:
        assert total.multiply_adds == multiply_adds
    assert total.uncounted == ()
    if parameters is not None:
        assert total.parameters == table_of(name).parameters == parameters


def test_multiply_adds_of_the_convolutions_of_vgg_16() -> None:
    rows = [row for row in table_of("vgg 16").rows if row.kind == "Conv2d"]
    assert sum(row.multiply_adds for row in rows) == 15_346_630_656  # Araujo: 30.71 GFLOP


class Graph(nn.Module):
    """Convolutions of one channel by their number, and how they are joined."""

    def __init__(self, join: Callable[[Any, Tensor], Tensor], *windows: tuple[Any, int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(1, 1, kernel, stride) for kernel, stride in windows)
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        return self.join(self.convs, x)


def first(c: Any, x: Tensor) -> Tensor:
    return F.relu(c[0](x) + c[2](c[1](F.pad(x, (1, 0, 1, 0)))))


def pooled(c: Any, x: Tensor) -> Tensor:
    right = F.max_pool2d(F.pad(x, (1, 0, 1, 0)), 3, 2)
    return F.relu(c[0](x) + F.max_pool2d(right, 1, 2))


def misaligned(c: Any, x: Tensor) -> Tensor:
    left, right = c[0](F.pad(x, (2, 1, 2, 1))), c[2](c[1](x))
    return F.relu(left + right[:, :, : left.shape[2], : left.shape[3]])


def same(c: Any, x: Tensor) -> Tensor:
    """Padding as TensorFlow's SAME has it: what is odd lies behind."""
    amount = (-(-x.shape[2] // 2) - 1) * 2 + 3 - x.shape[2]
    before, after = amount // 2, amount - amount // 2
    return F.relu(c[0](x) + c[2](c[1](F.pad(x, (before, after, before, after)))))


def dropped(c: Any, x: Tensor) -> Tensor:
    return F.relu(c[0](x) + F.dropout(c[2](c[1](F.pad(x, (1, 0, 1, 0))))))


def twice(c: Any, x: Tensor) -> Tensor:
    y = first(c, x)
    return F.relu(c[3](y) + c[4](F.pad(y, (1, 0, 1, 0))))


BRANCHES = ((1, 4), (3, 2), (1, 2))
# receptive_field_computation_test.py of google-research/receptive_field, numbers alone
GRAPHS: dict[str, tuple[nn.Module, int, tuple[int, int], int, int]] = {
    "net 1": (Graph(first, *BRANCHES), 32, (3, 3), 4, 1),
    "net 2, max pools": (Graph(pooled, (1, 4)), 32, (3, 3), 4, 1),
    "net 4 at 9": (Graph(same, *BRANCHES), 9, (3, 3), 4, 1),
    "net 5, not square": (
        Graph(lambda c, x: F.relu(c[1](c[0](x))), ((3, 5), 2), ((3, 1), 2)), 32, (7, 5), 4, 0
    ),
    "net 6, dropout": (Graph(dropped, *BRANCHES), 32, (3, 3), 4, 1),
    "net 8": (Graph(twice, *BRANCHES, (1, 2), (3, 2)), 64, (11, 11), 8, 5),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_fields_of_graphs_with_branches(name: str) -> None:
    network, side, size, stride, padding = GRAPHS[name]
    row = trace(network, (1, side, side)).blocks[-1].row
    assert row.field_size == size
    assert row.field_stride == (stride, stride)
    assert padding_of(row) == [padding, padding]
    assert row.field_status == "exact"


@pytest.mark.parametrize(
    ("network", "side"),
    [(Graph(misaligned, (5, 2), (3, 1), (3, 1)), 32), (Graph(same, *BRANCHES), 8)],
)
def test_branches_off_each_others_centre_give_a_bound(network: nn.Module, side: int) -> None:
    row = trace(network, (1, side, side)).blocks[-1].row
    assert row.field_status == "bound"


def test_two_branches_of_other_centres_are_marked_to_the_end_of_the_network() -> None:
    chain = nn.Sequential(Graph(same, *BRANCHES), nn.Conv2d(1, 1, 2), nn.AdaptiveAvgPool2d(1))
    rows = trace(chain, (1, 16, 16)).steps
    # What reads everything sees everything, whatever lay before it.
    assert [row.field_status for row in rows][-2:] == ["bound", "exact"]


@pytest.mark.parametrize(
    "middle",
    [
        nn.ConvTranspose2d(1, 1, 2, stride=2),
        nn.Upsample(scale_factor=2),
        nn.AdaptiveAvgPool2d(4),
    ],
)
def test_units_that_differ_give_a_bound(middle: nn.Module) -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 3), middle)
    assert trace(network, (1, 12, 12)).steps[-1].field_status == "bound"


def test_positions_chosen_by_values_depend_on_data() -> None:
    class Unpooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
            self.last = nn.Conv2d(1, 1, 3)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.last(self.unpool(*self.pool(x)))
            return y

    statuses = [row.field_status for row in trace(Unpooled(), (1, 8, 8)).steps]
    assert statuses == ["exact", "depends on data", "depends on data"]

    class Gathered(nn.Module):
        def __init__(self, take: Callable[[Tensor], Tensor]) -> None:
            super().__init__()
            self.conv, self.take = nn.Conv2d(2, 2, 3), take

        def forward(self, x: Tensor) -> Tensor:
            return self.take(self.conv(x))

    rows = torch.tensor([0, 2])
    takes: dict[Callable[[Tensor], Tensor], str] = {
        lambda x: x[:, :, rows.to(x.device)]: "depends on data",
        lambda x: x.index_select(3, rows.to(x.device)): "depends on data",
        lambda x: x.gather(2, torch.zeros(2, 2, 1, 6, dtype=torch.int64, device=x.device)): (
            "depends on data"
        ),
        lambda x: F.grid_sample(x, x.new_zeros(2, 3, 3, 2), align_corners=False): (
            "depends on data"
        ),
        lambda x: x[:, torch.tensor([1, 0], device=x.device)]: "exact",
    }
    for take, status in takes.items():
        row = trace(Gathered(take), (2, 8, 8)).blocks[-1].row
        assert row.field_status == status
        # What may be read is all of the image along the axis, and no more.
        assert row.field_size is not None
        assert max(row.field_size) == (8 if status == "depends on data" else 3)


def drawn_chain(seed: int) -> nn.Module:
    """Layers drawn by a seed, with weights above zero, in float64."""
    draw = torch.Generator().manual_seed(seed)

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=draw))

    modules: list[nn.Module] = []
    for _ in range(number(2, 4)):
        kernel, stride, padding = number(1, 4), number(1, 2), number(0, 1)
        kind = number(0, 3)
        if kind == 0:
            modules.append(nn.AvgPool2d(kernel, stride, min(padding, kernel // 2)))
        elif kind == 1:
            modules.append(nn.ConvTranspose2d(1, 1, kernel + 1, stride))
        else:
            modules.append(nn.Conv2d(1, 1, kernel, stride, padding, dilation=number(1, 2)))
    network = nn.Sequential(*modules).double()
    for parameter in network.parameters():
        parameter.data = 1 + torch.rand(parameter.shape, generator=draw, dtype=torch.float64)
    return network


@pytest.mark.parametrize("seed", range(12))
def test_the_gradient_of_one_unit_fills_its_field_and_never_leaves_it(seed: int) -> None:
    network = drawn_chain(seed)
    x = torch.ones(1, 1, 21, 18, dtype=torch.float64, requires_grad=True)
    rows, columns = receptive_field(network, (1, 21, 18))
    y = network(x)
    assert (len(rows.inside), len(columns.inside)) == y.shape[2:]
    for row in range(0, y.shape[2], max(y.shape[2] // 4, 1)):
        for column in range(0, y.shape[3], max(y.shape[3] // 4, 1)):
            (gradient,) = torch.autograd.grad(y[0, 0, row, column], x, retain_graph=True)
            support = gradient[0, 0].nonzero()
            box = (rows.inside[row], columns.inside[column])
            if None in box:
                assert len(support) == 0
                continue
            assert [(int(at.min()), int(at.max())) for at in support.T] == list(box)


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (4, 2), (2, 3)])
def test_a_transposed_convolution_has_the_field_that_its_gradient_reaches(
    kernel: int, stride: int
) -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ConvTranspose2d(1, 1, kernel, stride)).double()
    for parameter in network.parameters():
        parameter.data.fill_(1.0)
    x = torch.ones(1, 1, 12, 12, dtype=torch.float64, requires_grad=True)
    row = table(network, x.detach()).rows[-1]
    y = network(x)
    sizes = []
    for unit in range(y.shape[2]):
        (gradient,) = torch.autograd.grad(y[0, 0, unit].sum(), x, retain_graph=True)
        reached = gradient[0, 0].sum(1).nonzero()
        sizes.append(int(reached.max() - reached.min() + 1) if len(reached) else 0)
    assert row.field == (max(sizes), max(sizes))
    assert max(sizes) >= 3
