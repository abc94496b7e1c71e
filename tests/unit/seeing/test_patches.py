"""Top patches equal a search through all units and images; boxes equal what gradients reach."""

import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.config import ExecutionConfig
from striate.errors import ConfigError, ShapeError
from striate.execution import Execution, guess
from striate.networks import NETWORKS
from striate.registry import Pick
from striate.seeing.patches import maps_of, top_patches


def whole_numbers() -> nn.Module:
    """A network whose arithmetic is exact and whose values repeat, so that ties abound."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 2)
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randint(-2, 3, parameter.shape))
    return network


def whole_images(count: int = 13) -> Tensor:
    torch.manual_seed(1)
    return torch.randint(-2, 3, (count, 2, 11, 14)).float()


def numpy_convolution(x: np.ndarray, layer: nn.Conv2d) -> np.ndarray:
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()  # type: ignore[union-attr]
    (pad, _), (stride, _) = layer.padding, layer.stride
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))
    taken = windows[:, :, ::stride, ::stride]
    return np.einsum("bchwij,mcij->bmhw", taken, weight) + bias[:, None, None]


def numpy_maps(network: Any, images: Tensor) -> dict[str, np.ndarray]:
    first = numpy_convolution(images.numpy(), network[0])
    rectified = np.maximum(first, 0)
    rows, columns = rectified.shape[2] // 2, rectified.shape[3] // 2
    cut = rectified[:, :, : 2 * rows, : 2 * columns]
    pooled = cut.reshape(*cut.shape[:2], rows, 2, columns, 2).max((3, 5))
    return {"0": first, "1": rectified, "2": pooled, "3": numpy_convolution(pooled, network[3])}


def searched(maps: np.ndarray, k: int) -> list[list[tuple[float, int, tuple[int, int]]]]:
    """For each channel: value, image and position of its k strongest images, one by one."""
    result = []
    for channel in range(maps.shape[1]):
        strongest = []
        for image in range(len(maps)):
            best = (-np.inf, (0, 0))
            for row in range(maps.shape[2]):
                for column in range(maps.shape[3]):
                    value = float(maps[image, channel, row, column])
                    if value > best[0]:
                        best = (value, (row, column))
            strongest.append((best[0], image, best[1]))
        result.append(sorted(strongest, key=lambda item: (-item[0], item[1]))[:k])
    return result


def listed(patches: Any) -> list[list[tuple[float, int, tuple[int, int]]]]:
    rows = zip(
        patches.values.tolist(), patches.images.tolist(), patches.positions.tolist(), strict=True
    )
    return [
        [(v, i, tuple(p)) for v, i, p in zip(*row, strict=True)]  # type: ignore[misc]
        for row in rows
    ]


@pytest.mark.parametrize("batch", [1, 2, 5, 13])
def test_the_strongest_are_those_that_a_search_through_all_units_finds(batch: int) -> None:
    network, images = whole_numbers(), whole_images()
    found = top_patches(network, images.split(batch), ["3", "0", "1", "2"], k=4)
    expected = {name: searched(maps, 4) for name, maps in numpy_maps(network, images).items()}
    repeated = [v for row in expected["3"] for v, _, _ in row]
    assert len(set(repeated)) < len(repeated)  # there are ties to be decided
    for name, rows in expected.items():
        assert listed(found[name]) == rows, name


def test_the_order_of_the_batches_does_not_matter() -> None:
    torch.manual_seed(3)
    network = NETWORKS.build(Pick("resnet", depth=8, width=4), num_classes=3)
    images = torch.randn(12, 3, 12, 10)
    order = torch.randperm(12)
    one = top_patches(network, images.split(4), ["stem"], k=5)["stem"]
    other = top_patches(network, images[order].split(3), ["stem"], k=5)["stem"]
    torch.testing.assert_close(other.values, one.values)
    assert torch.equal(order[other.images], one.images)
    assert torch.equal(other.boxes, one.boxes)


def test_of_equal_images_and_positions_the_first_ones_win() -> None:
    images = torch.full((6, 1, 3, 3), 2.0)
    images[0] = 1
    for batch in (1, 4, 6):
        found = top_patches(nn.Identity(), images.split(batch), [""], k=3)[""]
        assert found.images.tolist() == [[1, 2, 3]]
        assert found.positions.tolist() == [[[0, 0]] * 3]


class Branches(nn.Module):
    """Strides, padding and dilation on branches that meet, smooth so that gradients reach all."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.Softplus())
        self.wide = nn.Conv2d(3, 3, (3, 1), padding=(2, 0), dilation=(2, 1))
        self.high = nn.Conv2d(3, 3, (1, 3), padding=(0, 1))
        self.pool = nn.AvgPool2d(2, ceil_mode=True)
        self.both = nn.Sequential(nn.Conv2d(3, 2, 2), nn.Flatten(1), nn.LazyLinear(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        result: Tensor = self.both(self.pool(self.wide(x) + self.high(x)))
        return result


def test_boxes_are_what_gradients_reach() -> None:
    torch.manual_seed(4)
    network, images = Branches().eval(), torch.randn(7, 2, 13, 17)
    network(images)
    layers = ["body", "wide", "high", "pool", "both.0", "both"]
    found = top_patches(network, images, layers, k=5)
    seen = set()
    for name, patches in found.items():
        for channel, row in enumerate(patches.boxes.tolist()):
            for rank, box in enumerate(row):
                image = images[patches.images[channel, rank]][None].clone().requires_grad_()
                kept: list[Tensor] = []
                module = network.get_submodule(name)
                hook = module.register_forward_hook(lambda _, __, y, kept=kept: kept.append(y))
                network(image)
                hook.remove()
                position = tuple(patches.positions[channel, rank].tolist())
                unit = kept[0][(0, channel, *position)]
                torch.testing.assert_close(unit.detach(), patches.values[channel, rank])
                (slope,) = torch.autograd.grad(unit, image)
                rows, columns = slope[0].abs().sum(0).nonzero(as_tuple=True)
                ends = [int(rows.min()), int(columns.min())]
                assert box == [*ends, int(rows.max()) + 1, int(columns.max()) + 1], (name, position)
                seen.add((name, tuple(box)))
    assert len(seen) > 30
    sizes = found["wide"].unbounded[..., 2:] - found["wide"].unbounded[..., :2]
    assert sizes.flatten(0, 1).unique(dim=0).tolist() == [[11, 3]]  # 3 + 2·4, 3
    # Where a tap of the dilated kernel lies in the padding, the box ends sooner than the image.
    assert bool((found["wide"].boxes[..., :2] >= found["wide"].unbounded[..., :2]).all())
    assert bool((found["wide"].boxes[..., 2:] <= found["wide"].unbounded[..., 2:]).all())


def test_a_unit_that_is_never_active_is_dead() -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU())
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([1.0, 1.0, -1.0]).view(3, 1, 1, 1))
        network[0].bias.copy_(torch.tensor([0.0, -9.0, 0.0]))
    found = top_patches(network, torch.rand(4, 1, 5, 5), ["1"], k=2)["1"]
    assert found.dead.tolist() == [False, True, True]


def test_fewer_images_than_patches_give_fewer() -> None:
    found = top_patches(nn.Conv2d(1, 2, 3), torch.rand(3, 1, 6, 6), [""])[""]
    assert found.images.sort(1).values.tolist() == [[0, 1, 2]] * 2
    assert found.boxes.shape == (2, 3, 4)


def test_a_value_that_is_not_a_number_crowds_nothing_out() -> None:
    images = torch.arange(4.0).view(4, 1, 1, 1).repeat(1, 1, 2, 2)
    images[3, 0, 0, 0] = torch.nan
    found = top_patches(nn.Identity(), images, [""], k=2)[""]
    assert found.images.tolist() == [[2, 1]]


def test_all_layers_are_served_by_one_pass_and_no_batch_is_kept() -> None:
    calls, alive, most = [0], list[Any](), [0]

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.calls = whole_numbers(), calls

        def forward(self, x: Tensor) -> Tensor:
            if x.device.type == "cpu":  # receptive fields run without numbers
                calls[0] += 1
            result: Tensor = self.body(x)
            return result

        def __deepcopy__(self, memo: dict[int, Any]) -> "Counting":
            return Counting()

    def batches() -> Iterator[Tensor]:
        for _ in range(20):
            batch = whole_images(3).clone()
            alive.append(weakref.ref(batch))
            yield batch
            del batch
            most[0] = max(most[0], sum(known() is not None for known in alive))

    found = top_patches(Counting(), batches(), ["body.0", "body.1", "body.3"], k=4)
    assert calls[0] == 20
    assert most[0] <= 1
    assert found["body.3"].values.shape == (4, 4)


def test_of_a_layer_that_runs_twice_the_last_call_counts() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.MaxPool2d(2)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.pool(-self.pool(x))
            return result

    images = torch.arange(32.0).view(2, 1, 4, 4)
    found = top_patches(Twice(), images, ["pool"], k=2)["pool"]
    assert found.values.tolist() == [[-5, -21]]
    assert found.boxes.tolist() == [[[0, 0, 4, 4]] * 2]
    assert maps_of(Twice(), images, "pool")["pool"].flatten().tolist() == [-5, -21]


def test_native_operators_hide_no_layer() -> None:
    torch.manual_seed(2)
    network = NETWORKS.build(Pick("resnet", depth=8, width=8), num_classes=3)
    network(torch.randn(8, 3, 16, 16))
    network.eval()
    images = torch.randn(8, 3, 16, 16)
    names = [name for name, _ in network.named_modules() if name]
    names = list(maps_of(network, images, *names))
    execution = guess(network, (8, 3, 16, 16), ExecutionConfig(threads=1))
    every = Execution(
        execution.device,
        True,
        "float32",
        threads=1,
        methods=execution.methods,
        layers=("norm", "pool", "linear", "activation"),
        compiled="default",
    )
    plain = top_patches(network, images, names, k=3)
    native = top_patches(network, images.split(3), names, k=3, execution=every)
    kinds = [type(module) for module in network.modules()]
    assert all("Native" not in kind.__name__ for kind in kinds)
    for name in names:
        torch.testing.assert_close(native[name].values, plain[name].values, msg=name)


def test_nothing_is_left_on_the_network() -> None:
    network, images = whole_numbers().train(), whole_images()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()
    execution = Execution(torch.device("cpu"), True, "float32", layers=("norm", "pool"))
    top_patches(network, images, ["1"], execution=execution)
    maps_of(network, images, "1")
    assert torch.equal(torch.get_rng_state(), random)
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    assert network[0].weight.is_contiguous()  # type: ignore[index,union-attr,operator]
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_maps_are_those_of_each_image_alone() -> None:
    network, images = whole_numbers(), whole_images()
    maps = maps_of(network, images, "0", "2")
    for name in maps:
        expected = torch.from_numpy(numpy_maps(network, images)[name])
        torch.testing.assert_close(maps[name], expected, atol=0, rtol=0)


class Sorted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).sort(-1).values.view_as(x)


@pytest.mark.parametrize(
    ("network", "ask", "error", "message"),
    [
        (nn.Conv2d(1, 1, 1), {"k": 0}, ConfigError, "k=0 must be 1 or more"),
        (nn.Conv2d(1, 1, 1), {"layers": ["conv"]}, ConfigError, "no layer named 'conv'"),
        (nn.Conv2d(1, 1, 1), {"images": []}, ConfigError, "There are no images"),
        (nn.Conv2d(1, 1, 1), {"images": torch.rand(0, 1, 4, 4)}, ConfigError, "no images"),
        (
            nn.Conv2d(1, 1, 1),
            {"images": [torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 5)]},
            ConfigError,
            r"\(1, 4, 5\), the first one had \(1, 4, 4\)",
        ),
        (nn.Flatten(0), {}, ConfigError, "with channels is needed"),
    ],
)
def test_what_does_not_fit_is_said(
    network: nn.Module, ask: dict[str, Any], error: type[Exception], message: str
) -> None:
    arguments = {"images": torch.rand(2, 1, 4, 4), "layers": [""], **ask}
    with pytest.raises(error, match=message):
        top_patches(network, **arguments)


def test_a_layer_that_does_not_run_is_said() -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Conv2d(1, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return x

    for ask in (lambda n, x: top_patches(n, x, ["unused"]), lambda n, x: maps_of(n, x, "unused")):
        with pytest.raises(ConfigError, match="'unused' does not run"):
            ask(Unused(), torch.rand(2, 1, 4, 4))  # type: ignore[no-untyped-call]


def test_a_field_that_cannot_be_followed_is_said() -> None:
    with pytest.raises(ShapeError, match="cannot be followed"):
        top_patches(nn.Sequential(Sorted()), torch.rand(2, 1, 4, 4), ["0"])
