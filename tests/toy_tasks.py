"""Small tasks of every kind of field, and sets in memory for them: what the seam must carry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.config import RunConfig
from striate.data import Dataset, ImageSet, ImageSpec, SealedSplit
from striate.data.field import PADDING, Boxes, Category, Column, Field, Mask, Points, Text, Value
from striate.data.field.labels import Labels as LabelField
from striate.evaluation.metric import Columns, Metric
from striate.tasks import Classification, Labels, Regression, Segmentation, Task
from striate.training.events import Event

SIDE, NUM = 12, 8
VOID = 255


class KeepsRows:
    """A meter that keeps predictions and targets as they are."""

    def __init__(self, metrics: tuple[Metric, ...], *targets: str) -> None:
        self.metrics = metrics
        self._targets = targets
        self._columns: dict[str, list[Any]] = {}

    def update(self, prediction: Mapping[str, Tensor], batch: Any) -> None:
        for name in self._targets:
            self._columns.setdefault(name, []).extend(batch[name].cpu().numpy())
        for name, value in prediction.items():
            self._columns.setdefault(f"predicted {name}", []).extend(value.numpy())

    def rows(self) -> Columns:
        columns: dict[str, Any] = {}
        for name, values in self._columns.items():
            same = len({np.shape(value) for value in values}) == 1
            columns[name] = np.stack(values) if same else values
        return Columns(columns)


class FirstBox(Task):
    """The first box of each image; images without one count for nothing."""

    needs = ("image", "boxes")
    loss_arguments = ("prediction", "target")

    def networks(self, build: Any, data: Any) -> nn.ModuleDict:
        return nn.ModuleDict({"network": build(num_classes=4)})

    def losses(self, networks: nn.ModuleDict, batch: Any, phase: str) -> dict[str, Tensor]:
        predicted, known = networks["network"](batch["image"]), self._known(batch)
        if not known.any():
            return {"loss": predicted.sum() * 0}
        boxes = batch["boxes"][known, 0, :4].to(predicted) / SIDE
        return {"loss": self.loss(predicted[known], boxes)}

    def weight(self, batch: Any) -> float:
        return float(self._known(batch).sum())

    def _known(self, batch: Any) -> Tensor:
        boxes: Tensor = batch["boxes"]
        if boxes.shape[1] == 0:
            return torch.zeros(len(boxes), dtype=torch.bool)
        return boxes[:, 0, 4] != PADDING

    def postprocess(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"box": outputs["scores"].cpu() * SIDE}

    def meter(self, data: Any) -> KeepsRows:
        return KeepsRows((Metric.mean("distance", True, box_distances),), "boxes")


def box_distances(rows: Columns) -> np.ndarray:
    """Mean distance of the four sides in pixels; nan for images without a box."""
    distances = []
    for boxes, predicted in zip(rows["boxes"], rows["predicted box"], strict=True):
        known = len(boxes) and boxes[0, 4] != PADDING
        distances.append(np.abs(boxes[0, :4] - predicted).mean() if known else np.nan)
    return np.array(distances)


class Reading(Task):
    """Texts of up to three characters, each position a class."""

    needs = ("image", "text")
    longest = 3

    def networks(self, build: Any, data: Any) -> nn.ModuleDict:
        letters = len(data.fields["text"].alphabet) + 1
        return nn.ModuleDict({"network": build(num_classes=self.longest * letters)})

    def losses(self, networks: nn.ModuleDict, batch: Any, phase: str) -> dict[str, Tensor]:
        scores = networks["network"](batch["image"])
        scores = scores.view(len(scores), -1, self.longest)
        return {"loss": self.loss(scores, self._target(batch))}

    def _target(self, batch: Any) -> Tensor:
        text: Tensor = batch["text"]
        return nn.functional.pad(text + 1, (0, self.longest - text.shape[1]))

    def postprocess(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        scores = outputs["scores"].cpu()
        return {"text": scores.view(len(scores), -1, self.longest).argmax(dim=1) - 1}

    def meter(self, data: Any) -> KeepsRows:
        return KeepsRows((Metric.mean("wrong texts", True, wrong_texts),), "text")


def wrong_texts(rows: Columns) -> np.ndarray:
    pairs = zip(rows["text"], rows["predicted text"], strict=True)
    return np.array([[i for i in a if i >= 0] != [i for i in b if i >= 0] for a, b in pairs])


class Landmarks(Task):
    """Two points in each image."""

    needs = ("image", "points")
    loss_arguments = ("prediction", "target")

    def networks(self, build: Any, data: Any) -> nn.ModuleDict:
        return nn.ModuleDict({"network": build(num_classes=2 * len(data.fields["points"].names))})

    def losses(self, networks: nn.ModuleDict, batch: Any, phase: str) -> dict[str, Tensor]:
        predicted = networks["network"](batch["image"])
        target = batch["points"].flatten(1).to(predicted) / SIDE
        return {"loss": self.loss(predicted, target)}

    def postprocess(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"points": outputs["scores"].cpu().view(len(outputs["scores"]), -1, 2) * SIDE}

    def meter(self, data: Any) -> KeepsRows:
        return KeepsRows((Metric.mean("distance", True, point_distances),), "points")


def point_distances(rows: Columns) -> np.ndarray:
    gap = np.asarray(rows["points"]) - np.asarray(rows["predicted points"])
    distances: np.ndarray = np.linalg.norm(gap, axis=2).mean(axis=1)
    return distances


class Generator(nn.Module):
    """Images from noise, all alike at first."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, SIDE * SIDE))

    def forward(self, noise: Tensor) -> Tensor:
        return self.layers(noise).view(-1, 1, SIDE, SIDE)


class Adversarial(Task):
    """Two networks that learn in turn: a critic of images and a generator of images."""

    needs = ("image",)
    phases = ("critic", "generator")
    loss_arguments = ("real_scores", "fake_scores")

    def networks(self, build: Any, data: Any) -> nn.ModuleDict:
        return nn.ModuleDict({"critic": build(num_classes=1), "generator": Generator()})

    def losses(self, networks: nn.ModuleDict, batch: Any, phase: str) -> dict[str, Tensor]:
        real = batch["image"]
        noise = torch.randn(len(real), 4, dtype=real.dtype)
        fake = networks["generator"](noise)
        if phase == "critic":
            scores = networks["critic"](real), networks["critic"](fake.detach())
            return {"loss": self.loss(*(score.flatten() for score in scores))}
        score = networks["critic"](fake).flatten()
        return {"loss": nn.functional.softplus(-score).mean()}

    def predict(self, networks: nn.ModuleDict, batch: Any) -> dict[str, Tensor]:
        return {"score": networks["critic"](batch["image"]).float()}

    def postprocess(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"score": outputs["score"].cpu()}

    def meter(self, data: Any) -> KeepsRows:
        scores = Metric.mean("score", False, lambda rows: rows["predicted score"][:, 0])
        return KeepsRows((scores,))


@dataclass(frozen=True)
class Example:
    """A task with a set that it can learn."""

    task: type[Task]
    fields: Mapping[str, Field]
    columns: Mapping[str, Any]
    images: np.ndarray
    settings: Mapping[str, Any]
    learned: Callable[[float], bool] | None
    """Whether the headline metric on the eight items says that they were learned."""
    extra: Mapping[str, Any] = field(default_factory=dict)


def squares() -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Images with one or two bright squares (or none), their boxes, and masks."""
    draw = np.random.default_rng(7)
    images = draw.integers(0, 60, (NUM, SIDE, SIDE, 1)).astype(np.uint8)
    masks = np.zeros((NUM, SIDE, SIDE), np.uint8)
    boxes = []
    for i in range(NUM):
        here = []
        for k in range(i % 3):
            x, y = draw.integers(0, SIDE - 5, 2)
            images[i, y : y + 4, x : x + 4] = 200 + 40 * k
            masks[i, y : y + 4, x : x + 4] = 1
            here.append([x, y, x + 4, y + 4, k])
        boxes.append(np.array(here, np.float32).reshape(-1, 5))
    masks[:, 0] = VOID
    return images, boxes, masks


def examples() -> dict[str, Example]:
    images, boxes, masks = squares()
    draw = np.random.default_rng(3)
    noise = draw.integers(0, 256, (NUM, SIDE, SIDE, 1)).astype(np.uint8)
    texts = [draw.integers(0, 4, 1 + i % 3) for i in range(NUM)]
    points = draw.uniform(2, SIDE - 2, (NUM, 2, 2)).astype(np.float32)
    wide: dict[str, Any] = {"network": {"name": "mlp", "hidden": [48]}}
    numbers = draw.normal((100, -0.02), (30, 0.001), (NUM, 2))
    numbers[[0, 5, 5], [0, 0, 1]] = np.nan
    unet = {"network": {"name": "unet", "width": 8, "depth": 1, "batch_norm": False}}
    entropy = {"loss": {"name": "softmax_cross_entropy"}}
    smooth = {"loss": {"name": "smooth_l1"}}
    balanced = {"loss": {"name": "median_frequency_cross_entropy", "balance": 0.5}}
    critic = {"loss": {"name": "non_saturating_discriminator"}}
    classes = {"category": Category("abcd")}
    labels = {"category": np.arange(NUM) % 4}
    return {
        "classification": Example(
            Classification, classes, labels, noise, wide | entropy, lambda error: error == 0
        ),
        "labels": Example(
            Labels,
            {"labels": LabelField("abc")},
            {"labels": [[i & 1, i >> 1 & 1, -1 if i == 5 else i >> 2] for i in range(NUM)]},
            noise,
            wide | {"loss": {"name": "binary_cross_entropy"}},
            lambda precision: precision == 1,
        ),
        "regression": Example(
            Regression,
            {"value": Value(("height", "slope"))},
            {"value": numbers},
            noise,
            wide | {"loss": {"name": "l2"}},
            lambda mae: mae < 0.5,
        ),
        "mask": Example(
            Segmentation,
            {"mask": Mask(("ground", "square"), VOID)},
            {"mask": masks},
            images,
            unet | balanced,
            lambda iou: iou > 0.95,
        ),
        "boxes": Example(
            FirstBox,
            {"boxes": Boxes(("dim", "bright"))},
            {"boxes": boxes},
            noise,
            wide | smooth,
            lambda distance: distance < 0.5,
        ),
        "text": Example(
            Reading,
            {"text": Text("abcd")},
            {"text": texts},
            noise,
            wide | entropy,
            lambda e: e == 0,
        ),
        "points": Example(
            Landmarks,
            {"points": Points(("left", "right"))},
            {"points": points},
            noise,
            wide | smooth,
            lambda distance: distance < 0.5,
        ),
        "two phases": Example(Adversarial, {}, {}, images, wide | critic, None),
    }


def dataset(example: Example) -> Dataset:
    """The eight items as training and validation split, and no test split."""
    names = tuple(f"item {i}" for i in range(NUM))
    columns: Mapping[str, Column] = {
        name: kind.column([np.asarray(value) for value in example.columns[name]])
        for name, kind in example.fields.items()
    }
    split = ImageSet(example.images, columns, example.fields, names, names)

    def refuse() -> ImageSet:
        raise AssertionError("there is no test split")

    return Dataset(
        title="eight items",
        source="arrays",
        fields=example.fields,
        spec=ImageSpec((SIDE, SIDE), 1),
        train=split,
        validation=split,
        test=SealedSplit("0", 0, refuse),
        broken=(),
        notes=(),
        digest="",
        test_origin="held out",
        validation_origin="held out",
        licence=None,
        counts_per_class={},
        split_seed=0,
    )


def config(example: Example, name: str, **training: Any) -> RunConfig:
    """The configuration of a training of so many steps."""
    length = {"batch_size": NUM, "steps": 150, "validations": 1, "checkpoints": 5}
    return RunConfig.from_json(
        {
            "data": {"source": "arrays", "input_size": [SIDE, SIDE], "channels": 1},
            "optimiser": {"name": "adamw", "lr": 0.01, "weight_decay": 0.0},
            "schedule": {"name": "constant"},
            "augmentation": [],
            "task": {"name": name},
            "training": {**length, **training},
            "execution": {"exact": True, "threads": 1},
            **example.settings,
        }
    )


def stop_at(step: int) -> Callable[[Event], str | None]:
    """A pruner that ends a training at a step."""
    return lambda event: "stopped" if event.get("step", 0) >= step else None
