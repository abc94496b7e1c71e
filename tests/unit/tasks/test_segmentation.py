"""Segmentation: tiles against the whole, numbers against other libraries, settings."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from striate.data.batch import Batch
from striate.data.field import Mask
from striate.errors import ConfigError
from striate.evaluation.metric import Columns, estimate
from striate.evaluation.report import Section
from striate.losses import cross_entropy_dice_loss, dice_loss, median_frequency_weights
from striate.networks import NETWORKS
from striate.registry import Pick
from striate.tasks import Conditions, DataShape, ReportedSplit, Segmentation
from striate.tasks.segmentation.metric import ConfusionMeter, class_figures
from striate.tasks.segmentation.report import figures_of_classes
from striate.tasks.segmentation.settings import suited_settings
from striate.tasks.segmentation.tiling import map_of
from toy_tasks import dataset, examples

VOID = 9
NAMES = ("sky", "road", "tree", "car", "sign")


@pytest.fixture
def masks() -> tuple[np.ndarray, np.ndarray]:
    """Random truths and predictions of six images, with void; no sign, and a car in one of them."""
    random = np.random.default_rng(5)
    truth = random.integers(0, 3, (6, 11, 13))
    predicted = np.where(
        random.random(truth.shape) < 0.6, truth, random.integers(0, 3, truth.shape)
    )
    truth[2, :3], predicted[2, 2:6] = 3, 3
    truth[:, :, 0] = VOID
    truth[5] = VOID
    return truth, predicted


def rows_of(truth: np.ndarray, predicted: np.ndarray) -> tuple[ConfusionMeter, Columns]:
    meter = ConfusionMeter(NAMES, VOID)
    for part in (slice(0, 4), slice(4, None)):
        batch = Batch({"mask": torch.from_numpy(truth[part])}, torch.arange(len(truth))[part])
        meter.update({"mask": torch.from_numpy(predicted[part]).to(torch.uint8)}, batch)
    return meter, meter.rows()


def test_the_split_has_one_confusion_matrix(masks) -> None:
    from sklearn.metrics import confusion_matrix, jaccard_score

    truth, predicted = masks
    meter, rows = rows_of(truth, predicted)
    valid = truth != VOID
    expected = confusion_matrix(truth[valid], predicted[valid], labels=range(5))
    assert np.array_equal(rows["confusion"].sum(axis=0), expected)
    values = {metric.name: metric.value(rows) for metric in meter.metrics}
    each = jaccard_score(truth[valid], predicted[valid], labels=range(4), average=None)
    assert values["mean IoU"] == pytest.approx(each.mean())
    assert [values[f"IoU {name}"] for name in NAMES[:4]] == pytest.approx(each)
    assert np.isnan(values["IoU sign"])
    assert values["classes left out"] == 1
    assert values["pixel accuracy"] == pytest.approx((truth == predicted)[valid].mean())


def test_dice_and_the_iou_of_each_image(masks) -> None:
    from torchmetrics.functional import f1_score
    from torchmetrics.functional.classification import multiclass_jaccard_index

    truth, predicted = (torch.from_numpy(values) for values in masks)
    meter, rows = rows_of(*masks)
    values = {metric.name: metric.value(rows) for metric in meter.metrics}
    f1 = f1_score(predicted, truth, "multiclass", num_classes=5, ignore_index=VOID, average="none")
    assert values["mean Dice"] == pytest.approx(f1[:4].mean().item(), rel=1e-6)
    per_image = []
    for t, p in zip(truth[:5], predicted[:5], strict=True):
        known = torch.unique(torch.cat([t[t != VOID], p[t != VOID]]))
        all_classes = multiclass_jaccard_index(
            p[None], t[None], num_classes=5, ignore_index=VOID, average="none"
        )
        per_image.append(all_classes[known].mean().item())
    assert values["IoU per image"] == pytest.approx(np.mean(per_image), rel=1e-6)
    by_name = {metric.name: metric for metric in meter.metrics}
    assert by_name["IoU per image"].per_item(rows)[:5] == pytest.approx(per_image, rel=1e-6)
    assert np.isnan(by_name["IoU per image"].per_item(rows)[5])
    assert values["IoU per image"] != pytest.approx(values["mean IoU"], rel=1e-3)


def test_intervals_draw_films_and_classes_have_figures(masks) -> None:
    meter, rows = rows_of(*masks)
    alone = estimate(meter.metrics[0], rows)
    assert alone.low < alone.value < alone.high
    films = Columns({**rows.columns, "group": np.array([0, 0, 0, 1, 1, 1])})
    assert estimate(meter.metrics[0], films) != alone
    sky, *_, sign = class_figures(rows, NAMES)
    assert sky["pixels"] == pytest.approx((masks[0] == 0).sum() / (masks[0] != VOID).sum())
    assert sky["num_images"] == 5
    assert sign["num_images"] == 0
    assert np.isnan(sign["dice"])
    assert sky["taken_for"] in NAMES[1:4]


@pytest.mark.parametrize(
    "pick",
    [
        Pick("unet", width=4, depth=2),
        Pick("segnet", widths=(4, 8, 8), counts=(2, 2, 1)),
        Pick("unet", width=2, depth=3, batch_norm=False),
        Pick("unet", width=4, depth=1, stem=2),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "size", [pytest.param((96, 200), marks=pytest.mark.slow), (57, 301), (40, 24)]
)
def test_tiles_are_the_whole_map_at_every_pixel(pick: Pick, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = NETWORKS.build(pick, num_classes=5, in_channels=2).eval()
    images = torch.randn(2, 2, *size)
    calls = []
    network.register_forward_hook(lambda _, inputs, __: calls.append(inputs[0].shape[2:]))
    with torch.no_grad():
        whole = map_of(network, images)
        calls.clear()  # those of the trace and of the whole image
        tiles = map_of(network, images, most_pixels=24 * 24)
    assert whole.shape == (2, 5, *size)
    assert len(calls) > (2 if max(size) > 50 else 1)
    torch.testing.assert_close(tiles, whole, rtol=0, atol=1e-5)


def test_a_tile_too_small_for_the_field_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from striate.tasks.segmentation import tiling

    torch.manual_seed(0)
    network = NETWORKS.build(Pick("unet", width=4, depth=2), num_classes=3, in_channels=1).eval()
    images = torch.randn(1, 1, 64, 200)
    rows, columns = tiling._reaches(network, 1)
    short = columns._replace(before=columns.before - 2 * columns.stride)
    monkeypatch.setitem(tiling._known, network, (rows, short))
    with torch.no_grad():
        gap = map_of(network, images, most_pixels=24 * 24) - map_of(network, images)
    assert gap.abs().max() > 1e-4


def test_a_network_that_sees_everything_is_not_cut() -> None:
    class Global(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + x.mean(dim=(2, 3), keepdim=True)

    images = torch.randn(3, 1, 40, 30)
    assert torch.equal(map_of(Global(), images, most_pixels=16), Global()(images))


def test_both_losses_by_hand() -> None:
    draw = torch.Generator().manual_seed(1)
    scores = torch.randn(2, 3, 4, 5, generator=draw, dtype=torch.float64)
    target = torch.randint(0, 3, (2, 4, 5), generator=draw)
    target[0, 0] = -100
    counts, present = [100, 20, 5], [120, 60, 30]
    weights = torch.tensor([1 / (100 / 120), 1 / (20 / 60), 1 / (5 / 30)]) / 3
    torch.testing.assert_close(
        median_frequency_weights(torch.tensor(counts), torch.tensor(present)), weights
    )
    entropy = nn.functional.cross_entropy(scores, target, weight=weights.double())
    expected = 0.75 * entropy + 0.25 * dice_loss(scores, target)
    both = cross_entropy_dice_loss(
        scores, target, dice_share=0.25, class_counts=counts, present_counts=present
    )
    torch.testing.assert_close(both, expected, rtol=1e-6, atol=0)
    half = cross_entropy_dice_loss(
        scores, target, dice_share=0.0, class_counts=counts, present_counts=present, balance=0.5
    )
    entropy = nn.functional.cross_entropy(scores, target, weight=weights.double().sqrt())
    torch.testing.assert_close(half, entropy, rtol=1e-6, atol=0)
    plain = cross_entropy_dice_loss(scores, target, dice_share=0.0)
    torch.testing.assert_close(plain, nn.functional.cross_entropy(scores, target))
    with pytest.raises(ConfigError, match="between 0 and 1"):
        cross_entropy_dice_loss(scores, target, dice_share=1.5)
    with pytest.raises(ConfigError, match="balance=-1 must be 0"):
        Segmentation(Pick("cross_entropy_dice", balance=-1.0)).try_loss()
    with pytest.raises(ConfigError, match="accepted: 'mean'"):
        cross_entropy_dice_loss(scores, target, reduction="sum")


def test_classes_are_counted_in_the_training_split() -> None:
    """Frequencies by hand: pixels of a class among those of the images that have it."""
    split = dataset(examples()["mask"]).train
    facts = Segmentation(Pick("cross_entropy_dice")).prepare(split)
    masks = np.asarray(split.columns["mask"])
    known = [[(mask == k).sum() for k in range(2)] for mask in masks]
    assert facts["loss"]["class_counts"] == np.sum(known, axis=0).tolist()
    squares = sum(sum(pair) for pair in known if pair[1])
    assert facts["loss"]["present_counts"] == [int(np.sum(known)), squares]
    assert facts["void"] == 255
    assert "loss" not in Segmentation(Pick("dice")).prepare(split)


def conditions_of(side: tuple[int, int], seconds: float, speed=None, own=None, num=400, most=None):
    height, width = side
    heights, widths = (height, height, most or height), (width, width, most or width)
    return Conditions(num, 11, heights, widths, seconds, own or {}, speed)


def test_the_width_follows_time_and_speed() -> None:
    asked_of = []

    def speed(network: Pick, descent: Pick, batch: int, size: tuple[int, int]) -> float:
        asked_of.append((network.name, batch, size))
        width = network.arguments.get("width", network.arguments.get("widths", [0])[0])
        return 20 * (16 * network.arguments.get("stem", 1) / width) ** 2

    short = suited_settings(conditions_of((360, 480), 600, speed))
    assert short["network"].value == {"name": "unet", "width": 32, "depth": 4, "stem": 2}
    assert asked_of[0] == ("unet", 5, (192, 256))
    longer = suited_settings(conditions_of((360, 480), 1800, speed))["network"].value
    assert longer == {"name": "unet", "width": 32, "depth": 4}
    whole = suited_settings(conditions_of((360, 480), 7200, speed))["network"].value
    assert whole == {"name": "unet", "width": 64, "depth": 4}
    small = suited_settings(conditions_of((120, 160), 600, speed))["network"].value
    assert small == {"name": "unet", "width": 12, "depth": 4}
    narrow = suited_settings(conditions_of((360, 480), 600, speed, {"network": {"name": "segnet"}}))
    assert narrow["network"].value["widths"] == [16, 32, 64, 128, 128]
    given = suited_settings(conditions_of((360, 480), 600, None, {"network": {"width": 40}}))
    assert given["network"].value["width"] == 16  # completed by what was asked for


def test_sizes_and_scale() -> None:
    own = suited_settings(conditions_of((360, 480), 600))
    assert own["data.input_size"].value == [360, 480]
    assert own["task.scale"].value == 1.0
    large = suited_settings(conditions_of((1024, 2048), 600))
    assert large["data.input_size"].value == [362, 724]
    assert Segmentation(scale=large["task.scale"].value).seen_size(
        (1024, 2048), DataShape({}, 3, (362, 724))
    ) == (362, 724)
    half = suited_settings(conditions_of((360, 480), 600, own={"data": {"input_size": [180, 240]}}))
    assert half["task.scale"].value == 0.5
    mixed = suited_settings(conditions_of((300, 400), 600, most=900))
    assert "task.scale" not in mixed
    assert mixed["data.fit"].value == "pad"
    small = suited_settings(conditions_of((48, 64), 600, num=40))
    assert small["augmentation"].value[1]["size"] == [48, 64]
    assert small["training.batch_size"].value == 4


def test_an_image_is_seen_as_the_training_images_were() -> None:
    shape = DataShape({}, 3, (96, 128))
    assert Segmentation().seen_size((300, 200), shape) == (96, 64)
    assert Segmentation(scale=0.5).seen_size((301, 200), shape) == (150, 100)
    with pytest.raises(ConfigError, match="above 0"):
        Segmentation(scale=0.0)


@pytest.mark.parametrize(
    ("mode", "stored"), [("L", (3, 7)), ("P", (0, 2)), ("RGB", (0x102030, 0xFF0000))]
)
def test_a_written_mask_is_stored_as_the_training_masks(tmp_path: Path, mode: str, stored) -> None:
    palette = (10, 20, 30, 40, 50, 60, 70, 80, 90)
    field = Mask(("a", "b"), 255, stored, (), mode, palette)
    data, ids = DataShape({"mask": field}, 3, (4, 6)), np.zeros((1, 4, 6), np.uint8)
    ids[0, 1:3, 2:] = 1
    (prediction,) = Segmentation().describe(["x.jpg"], {"mask": ids}, data)
    assert prediction.to_json()["areas"] == {"a": 16, "b": 8}
    assert prediction.text() == "a 66.7%  b 33.3%"
    (content,) = Segmentation().files(prediction, data)
    (tmp_path / "x.png").write_bytes(content)
    with Image.open(tmp_path / "x.png") as image:
        assert image.mode == mode
        values = np.asarray(image)
        if mode == "P":
            assert tuple(image.getpalette()[:9]) == palette
    if mode == "RGB":
        assert values[0, 0].tolist() == [0x10, 0x20, 0x30]
        assert values[1, 2].tolist() == [255, 0, 0]
    else:
        assert (values == np.array(stored)[ids[0]]).all()
    drawn = Segmentation().draw(np.full((4, 6, 1), 100, np.uint8), prediction, data)
    assert drawn is not None
    assert drawn.shape == (4, 6, 3)
    if mode == "RGB":
        assert drawn[1, 2].tolist() == [177, 50, 50]


def test_the_report_shows_best_median_and_worst(masks) -> None:
    truth, predicted = masks
    truth, predicted = np.tile(truth, (3, 1, 1)), np.tile(predicted, (3, 1, 1))
    predicted[0] = np.where(truth[0] == VOID, 0, truth[0])
    _, rows = rows_of(truth, predicted)
    field = Mask(NAMES, VOID)
    split = dataset(examples()["mask"]).train
    images = np.zeros((18, 11, 13, 3), np.uint8)
    names = tuple(f"<{i}>" for i in range(18))
    shown = type(split)(images, {"mask": truth}, {"mask": field}, names, names)
    data = DataShape({"mask": field}, 3, (11, 13))
    task = Segmentation()
    split_of = ReportedSplit("validation", shown, rows, task.figures(rows, data), rows, data)
    classes, pictures = task.sections(split_of)
    assert isinstance(classes, Section)
    assert classes.body.count("<tr>") == 6
    assert pictures.body.count("<tr>") == 10
    assert pictures.body.index("&lt;0&gt;") < pictures.body.index("&lt;", 10) + 200
    assert "<0>" not in pictures.body
    assert figures_of_classes(rows, NAMES)[4]["iou"] is None
