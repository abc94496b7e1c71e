"""The table of a network: what is counted, what is kept, what was measured, and how it is shown."""

import csv
import io
import itertools
import json
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from striate.errors import ConfigError, ShapeError
from striate.layers.geometry import ledger
from striate.networks import NETWORKS
from striate.networks.resnet import Bottleneck
from striate.registry import Pick
from striate.seeing.dead import DeadUnits, dead_units
from striate.seeing.issue import issues
from striate.seeing.kept import kept_for_backward
from striate.seeing.peak import Peak, measured_peak
from striate.seeing.table import Table, table
from striate.seeing.table_text import comparison_text, paired, table_csv, table_text

PEAK = Peak(flop_per_second=1e12, bytes_per_second=1e10, device="cpu", threads=1)


def ticks() -> Callable[[], float]:
    """A clock that moves on by a second at each reading."""
    count = itertools.count()
    return lambda: float(next(count))


def network() -> nn.Module:
    torch.manual_seed(2)
    return NETWORKS.build(Pick("resnet", depth=8, width=4), num_classes=3)


class Functional(nn.Module):
    """One layer used twice, functions with products, and parameters of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1)), nn.ReLU())
        self.again = nn.Conv2d(4, 4, 3, padding=1)
        self.kernel = nn.Parameter(torch.ones(2, 4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.again(self.again(self.body(x)))
        x = F.conv2d(x, self.kernel).flatten(2)
        return x @ x.transpose(1, 2)


class TestCounting:
    def test_reused_nested_and_functional_layers_each_count_once_for_each_call(self) -> None:
        built = table(Functional(), torch.zeros(2, 3, 6, 5))
        assert [(row.name, row.parameters, row.multiply_adds) for row in built.rows] == [
            ("body.0.0", 112, 4 * 27 * 30),
            ("body.1", 0, 0),
            ("again", 148, 4 * 36 * 30),
            ("again", 0, 4 * 36 * 30),
            ("", 8, 2 * 4 * 30 + 2 * 30 * 2),
        ]
        assert built.total.parameters == built.parameters == 268

    def test_totals_are_those_of_torchs_own_counter(self) -> None:
        net, x = Functional(), torch.zeros(1, 3, 6, 5)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(x)
        assert table(net, x.expand(2, -1, -1, -1)).total.multiply_adds * 2 == (
            counter.get_total_flops()
        )

    def test_rows_are_those_of_the_ledger(self) -> None:
        net = network()
        rows = table(net, torch.zeros(2, 3, 12, 12)).rows
        same = ledger(net, (3, 12, 12))
        assert [(r.name, r.kind, r.shape, r.multiply_adds, r.field) for r in rows] == [
            (r.name, r.kind, r.output_shape, r.multiply_adds, r.field_size) for r in same
        ]

    def test_what_cannot_be_counted_is_named(self) -> None:
        class Transformed(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return torch.fft.rfft(x).abs() + torch.cdist(x, x)

        net = nn.Sequential(nn.Linear(8, 8), Transformed(), nn.ReLU())
        built = table(net, torch.zeros(2, 5, 8))
        assert [row.uncounted for row in built.rows] == [(), ("_fft_r2c", "_cdist_forward"), ()]
        assert built.total.uncounted == ("_fft_r2c", "_cdist_forward")
        assert "+ ?" in table_text(built).splitlines()[2]
        assert "_fft_r2c, _cdist_forward" in table_text(built)
        assert [issue.layer for issue in issues(built)] == ["1"]

    def test_parameters_that_a_module_borrows_count_there_once(self) -> None:
        class Attending(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

            def forward(self, x: Tensor) -> Tensor:
                y: Tensor = self.attention(x, x, x, need_weights=False)[0]
                return y

        net = Attending()
        built = table(net, torch.zeros(2, 5, 8))
        assert built.total.parameters == built.parameters == 288
        # Three projections and one behind, then queries by keys and weights by values.
        assert built.total.multiply_adds == 4 * 5 * 8 * 8 + 2 * 5 * 5 * 8

    def test_bytes_are_what_a_layer_reads_and_writes(self) -> None:
        rows = table(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), torch.zeros(5, 3, 8, 7)).rows
        image, output, weights = 3 * 56, 4 * 30, 3 * 4 * 9 + 4
        assert rows[0].moved_bytes == 4 * (5 * (image + output) + weights)
        assert rows[1].moved_bytes == 4 * 5 * 2 * output
        assert rows[0].flop == 2 * 5 * 4 * 27 * 30
        assert rows[0].flop_per_byte == rows[0].flop / rows[0].moved_bytes

    def test_axes_have_names(self) -> None:
        class Last(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return x.movedim(1, -1)

        net = nn.Sequential(nn.Conv2d(3, 4, 3), Last(), nn.Flatten(1, 2), nn.Flatten())
        rows = table(net, torch.zeros(2, 3, 9, 8)).rows
        assert [row.axes for row in rows] == [
            ("C", "H", "W"), ("H", "W", "C"), ("", ""), ("C",),
        ]  # fmt: skip
        assert table(nn.AdaptiveAvgPool2d(1), torch.zeros(2, 3, 9, 8)).rows[0].axes == (
            "C", "H", "W",
        )  # fmt: skip
        assert table(nn.Conv1d(1, 2, 3), torch.zeros(2, 1, 9)).rows[0].axes == ("C", "L")

    def test_images_that_do_not_fit_are_refused(self) -> None:
        with pytest.raises(ShapeError, match="cannot take an input of shape"):
            table(nn.Conv2d(3, 4, 5), torch.zeros(2, 3, 2, 2))
        with pytest.raises(ConfigError, match="meta computes nothing"):
            table(nn.Conv2d(3, 4, 5), torch.zeros(2, 3, 9, 9, device="meta"), measure=True)


class TestKept:
    def test_by_hand(self) -> None:
        net = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.5), nn.Flatten(),
            nn.Linear(4 * 9, 2), nn.Sigmoid(),
        )  # fmt: skip
        kept = kept_for_backward(net, torch.zeros(5, 3, 8, 8))
        assert kept.calls == {
            ("0", 0): 4 * 5 * 3 * 64,  # the images
            ("1", 0): 4 * 5 * 4 * 36,  # its output, which the pool shares
            ("2", 0): 8 * 5 * 4 * 9,  # where the maxima lay
            ("3", 0): 4 * 5 * 4 * 9,  # what is dropped, as numbers
            ("5", 0): 4 * 5 * 36,
            ("6", 0): 4 * 5 * 2,
        }
        assert kept.total == 3840 + 2880 + 1440 + 720 + 720 + 40

    def test_what_is_kept_between_layers_has_its_own_total(self) -> None:
        class Block(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv = nn.Conv2d(2, 2, 3, padding=1)

            def forward(self, x: Tensor) -> Tensor:
                return F.relu(self.conv(x)) * 2

        net = nn.Sequential(Block(), nn.Sequential(Block(), nn.Flatten()))
        built = table(net, torch.zeros(3, 2, 5, 4))
        maps = 4 * 3 * 2 * 20
        # Each relu keeps its output; the second convolution keeps what was doubled.
        assert [row.kept_bytes for row in built.rows] == [maps, maps, 0]
        assert (built.kept_between, built.total.kept_bytes) == (2 * maps, 4 * maps)
        assert [row.kept_bytes for row in built.folded(1)] == [2 * maps, 2 * maps]
        assert built.blocks[-1].row.kept_bytes == 4 * maps

    def test_a_layer_that_runs_twice_keeps_twice(self) -> None:
        layer = nn.Linear(4, 4)
        kept = kept_for_backward(nn.Sequential(layer, nn.Tanh(), layer), torch.zeros(3, 4))
        assert kept.calls == {("0", 0): 48, ("1", 0): 48}  # the second call reads what tanh keeps
        net = nn.Sequential(nn.Hardswish(), layer, nn.Hardswish(), layer)
        rows = table(net, torch.zeros(3, 4)).rows
        # The first one is given images, for which nobody wants a gradient.
        assert [row.kept_bytes for row in rows] == [0, 48, 48, 48]

    def test_modules_that_only_run_in_training_are_named(self) -> None:
        class Auxiliary(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 4)
                self.side = nn.Sequential(nn.Linear(4, 4), nn.Tanh())

            def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
                x = self.body(x)
                return (self.head(x), self.side(x)) if self.training else self.head(x)

        built = table(Auxiliary(), torch.zeros(3, 4))
        assert built.only_in_training == ("side.1",)
        assert (built.total.parameters, built.parameters) == (40, 60)
        assert [row.kept_bytes for row in built.rows] == [48, 48]
        assert built.kept_between == 48  # what tanh gives
        assert "20 further parameters belong to modules that do not run" in table_text(built)
        assert issues(built, object_size=(1,))[-1].problem.startswith("side.1 run in training only")

    def test_a_batch_that_cannot_be_trained_on_is_refused(self) -> None:
        net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3))
        with pytest.raises(ConfigError, match="cannot train on this batch"):
            table(net, torch.zeros(1, 3, 4, 4))


class TestMeasuring:
    def test_times_belong_to_their_rows(self) -> None:
        built = table(
            Functional(), torch.zeros(2, 3, 6, 5), measure=True, repeats=2, peak=PEAK, clock=ticks()
        )
        assert [row.forward for row in built.rows] == [1, 1, 1, 1, None]
        assert [row.backward for row in built.rows] == [1, 1, 1, 1, None]
        assert (built.forward, built.backward) == (1, 1)
        total = built.total
        assert (total.forward, total.backward) == (4, 4)
        first = built.rows[0]
        assert first.flop_per_second == first.flop
        # 12,960 FLOP take 13 ns, 2,608 bytes at least 260 ns: memory is what limits it.
        assert first.limit == "memory"
        assert first.share == first.least_forward == first.moved_bytes / 1e10
        # The first layer needs no gradient of the images: one product, and two afterwards.
        assert first.least_backward == first.least_forward
        assert built.rows[2].least_forward is not None
        assert built.rows[2].least_backward == 2 * built.rows[2].least_forward

    def test_the_roofline(self) -> None:
        slow = Peak(flop_per_second=1e3, bytes_per_second=1e9, device="cpu", threads=1)
        net, x = nn.Sequential(nn.Linear(8, 8), nn.ReLU()), torch.zeros(4, 8)
        product, rectifier = table(net, x, measure=True, repeats=1, peak=slow, clock=ticks()).rows
        assert (product.limit, product.share) == ("computing", 2 * 4 * 64 / 1e3)
        assert (rectifier.limit, rectifier.share) == ("memory", 4 * 4 * 8 * 2 / 1e9)

    def test_the_peak_is_the_best_of_what_was_measured(self) -> None:
        # Per readings: the begin, then pairs around the work, and one that asks whether to go on.
        peak = measured_peak(seconds=1.0, clock=ticks())
        assert peak.flop_per_second == 2 * 1024**3
        assert peak.bytes_per_second == 2 * 64 * 2**20
        assert peak.balance == peak.flop_per_second / peak.bytes_per_second
        with pytest.raises(ConfigError, match="more than 0"):
            measured_peak(seconds=0)

    def test_a_layer_that_wastes_the_machine_is_named_with_a_cure(self) -> None:
        net, x = nn.Sequential(nn.Linear(8, 8), nn.ReLU()), torch.zeros(4, 8)
        fast = Peak(flop_per_second=1e12, bytes_per_second=2e3, device="cpu", threads=1)
        built = table(net, x, measure=True, repeats=1, peak=fast, clock=ticks())
        # 544 bytes in 0.272 s, 256 bytes in 0.128 s, of one second each.
        assert [issue.layer for issue in issues(built)] == ["1"]
        (issue,) = issues(built)
        assert "50 % of the forward time" in issue.problem
        assert "13 % of what the machine can do, limited by memory" in issue.problem
        assert issue.cure


class TestIssues:
    def test_a_field_smaller_than_the_object(self) -> None:
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        built = table(net, torch.zeros(2, 3, 9, 8))
        (issue,) = issues(built)
        assert issue.layer == "0"
        assert "sees 3×3 pixels, less than an object of 9×8" in issue.problem
        assert issues(built, object_size=(3, 3)) == ()

    def test_a_stride_that_drops_pixels(self) -> None:
        x = torch.zeros(2, 8, 16, 14)
        first, second = (
            table(nn.Sequential(Bottleneck(8, 2, 2, 2, stride_in_1x1=value)), x)
            for value in (True, False)
        )
        # The paper's stride jumps over three quarters of the maps; the later one does not, because
        # the 1×1 convolution in the other branch reads what the shortcut jumps over.
        found = issues(first, object_size=(1, 1))
        assert [issue.layer for issue in found] == ["0.conv0", "0.shortcut.0"]
        assert "8 of 16 positions and 7 of 14 positions along the axes" in found[0].problem
        assert issues(second, object_size=(1, 1)) == ()

    def test_a_window_that_ends_before_the_map(self) -> None:
        net = nn.Sequential(nn.MaxPool2d(2), nn.ReLU())
        (issue,) = issues(table(net, torch.zeros(2, 3, 9, 8)), object_size=(1, 1))
        assert "1 of 9 positions at the end" in issue.problem
        rounded = nn.Sequential(nn.MaxPool2d(2, ceil_mode=True), nn.ReLU())
        assert issues(table(rounded, torch.zeros(2, 3, 9, 8)), object_size=(1, 1)) == ()

    @pytest.mark.parametrize("spelling", ["module", "function", "in place", "clamp"])
    def test_dead_units(self, spelling: str) -> None:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv = nn.Conv2d(1, 4, 1)
                self.relu = nn.ReLU(inplace=True)

            def forward(self, x: Tensor) -> Tensor:
                x = self.conv(x)
                if spelling == "clamp":
                    return x.clamp(min=0)
                if spelling == "module":
                    return self.relu(x)  # type: ignore[no-any-return]
                return F.relu(x, inplace=spelling == "in place")

        net = Net()
        net.conv.weight.data = torch.tensor([1.0, -1.0, 0.0, -1.0]).view(4, 1, 1, 1)
        net.conv.bias.data = torch.tensor([0.0, 0.0, -1.0, 2.5])  # type: ignore[union-attr]
        low, high = torch.full((3, 1, 2, 2), 1.0), torch.full((2, 1, 2, 2), 3.0)
        low[1, 0, 0, 1] = 0.5
        layer = "relu" if spelling == "module" else ""
        # Channel 3 lives on the first batch alone, channels 1 and 2 nowhere.
        assert dead_units(net, [low, high]) == (DeadUnits(layer, 2, 4, 5),)
        assert dead_units(net, [high]) == (DeadUnits(layer, 3, 4, 2),)
        (issue,) = issues(table(net, low), object_size=(1, 1), dead=dead_units(net, [low, high]))
        assert issue.problem == "2 of 4 channels are zero at all positions of 5 images."

    def test_no_image_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="no image"):
            dead_units(nn.ReLU(), [])


class TestShowing:
    def test_folding_keeps_every_sum(self) -> None:
        built = table(network(), torch.zeros(2, 3, 12, 12))
        for depth in (1, 2, 3):
            rows = built.folded(depth)
            for value in ("parameters", "multiply_adds", "layers", "kept_bytes", "moved_bytes"):
                total = sum(getattr(row, value) for row in rows)
                assert total == getattr(built.total, value)
        assert [row.name for row in built.folded(1)] == ["stem", "stages", "pool", "head"]
        assert [row.kind for row in built.folded(1)][:2] == ["Sequential", "Sequential"]
        assert [row.name for row in built.folded(2)][:3] == ["stem.0", "stem.1", "stem.2"]
        assert built.folded(0) == built.rows
        # A block shows what leaves it, behind the sum at its end.
        stages = built.folded(1)[1]
        assert (stages.shape, stages.axes) == ((16, 3, 3), ("C", "H", "W"))

    def test_parts_of_a_list_are_folded_as_well(self) -> None:
        class Listed(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.parts = nn.ModuleList(nn.Sequential(nn.Linear(3, 3)) for _ in range(2))

            def forward(self, x: Tensor) -> Tensor:
                for part in self.parts:
                    x = part(x)
                return x

        built = table(Listed(), torch.zeros(2, 3))
        assert [(r.name, r.layers, r.multiply_adds) for r in built.folded(1)] == [("parts", 2, 18)]
        assert [r.name for r in built.folded(2)] == ["parts.0", "parts.1"]

    def test_text(self) -> None:
        net = nn.Sequential(nn.Conv2d(3, 4, (3, 2)), nn.ReLU())
        lines = table_text(table(net, torch.zeros(2, 3, 9, 8))).splitlines()
        assert lines[1].split() == [
            "0", "Conv2d", "C4", "H7", "W7", "76", "3,528", "3×2", "1", "1×0.5", "exact",
            "1.73", "kB",
        ]  # fmt: skip
        assert lines[3].split() == ["total", "76", "3,528", "3.30", "kB"]
        assert (
            "76 parameters, 3,528 multiply-adds for one image (1 multiply-add, MAC, = 2 FLOP)"
            in (lines[5])
        )

    def test_text_of_what_was_measured(self) -> None:
        net, x = nn.Sequential(nn.Linear(8, 8), nn.ReLU()), torch.zeros(4, 8)
        built = table(net, x, measure=True, repeats=1, peak=PEAK, clock=ticks())
        text = table_text(built, depth=1)
        assert "ms forward" in text.splitlines()[0]
        assert text.splitlines()[1].split()[-3:] == ["0", "%", "memory"]
        assert "1e+03 GFLOP/s (matrix product), 10 GB/s (copy)" in text
        assert "2e+03 ms measured layer by layer, 1e+03 ms as a whole" in text

    def test_csv_and_json_hold_full_numbers(self) -> None:
        built = table(Functional(), torch.zeros(2, 3, 6, 5))
        records = list(csv.DictReader(io.StringIO(table_csv(built))))
        assert [int(record["multiply_adds"]) for record in records] == [
            row.multiply_adds for row in built.rows
        ]
        assert (records[0]["output"], records[0]["axes"], records[0]["field"]) == (
            "4×6×5", "C×H×W", "3×3",
        )  # fmt: skip
        values = json.loads(json.dumps(built.to_json(), allow_nan=False))
        assert values["total"]["multiply_adds"] == built.total.multiply_adds
        assert values["rows"][0]["flop_per_byte"] == built.rows[0].flop_per_byte
        assert Table.from_json(values) == built

    def test_two_networks_side_by_side(self) -> None:
        x = torch.zeros(2, 3, 9, 8)
        one = table(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), x)
        two = table(nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU()), x)
        pairs = paired(one.rows, two.rows)
        assert [tuple(row and row.kind for row in pair) for pair in pairs] == [
            ("Conv2d", "Conv2d"), ("ReLU", None), (None, "BatchNorm2d"), (None, "ReLU"),
        ]  # fmt: skip
        lines = comparison_text(one, two).splitlines()
        assert lines[1].split()[:9] == [
            "0", "C4", "H7", "W6", "C6", "H7", "W6", "112", "168",
        ]  # fmt: skip
        assert lines[5].split()[:3] == ["total", "112", "180"]
        assert lines[-1] == "B: Sequential, images 3×9×8"
