"""Segmentation: one class out of K for each pixel, void pixels left out."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.data import Dataset, ImageSet
from striate.data.batch import Batch
from striate.data.field import Field, Mask
from striate.data.source import Source
from striate.errors import ConfigError
from striate.evaluation.metric import Meter
from striate.evaluation.report import Section
from striate.losses import IGNORE_INDEX, LOSSES, median_frequency_weights, num_valid_targets
from striate.registry import Pick
from striate.run_folder import RunFolder
from striate.tasks.conditions import Conditions
from striate.tasks.prediction import Prediction
from striate.tasks.segmentation.metric import ConfusionMeter
from striate.tasks.segmentation.prediction import MaskPrediction
from striate.tasks.segmentation.report import drawn, figures_of_classes, sections
from striate.tasks.segmentation.settings import suited_settings
from striate.tasks.segmentation.tiling import map_of
from striate.tasks.task import DataShape, Explained, ReportedSplit, Setting, Task


class Segmentation(Task):
    """One class out of K for each pixel.

    Args:
        loss: Name and arguments of the loss; see `Task`.
        void: Ids, colours ("#rrggbb") or names of pixels that count for nothing; None: those that
            the data call so.
        scale: Size at which networks see an image, as a share of its own; None: images are fitted
            into the input size.
    """

    needs = ("image", "mask")
    outputs = "map"
    weights_add = (
        "on street scenes they raise the mean IoU of five minutes from 60 to 64 % (CamVid)"
    )
    keeps_groups = True
    sees_whole = True
    file_names = ("masks/{}.png",)

    def __init__(
        self,
        loss: Pick | None = None,
        *,
        void: tuple[int | str, ...] | None = None,
        scale: float | None = None,
    ) -> None:
        if scale is not None and not scale > 0:
            raise ConfigError(f"task.scale={scale:g} must be above 0; 0.5 halves both sides.")
        super().__init__(loss)
        self.void, self.scale = void, scale

    @classmethod
    def recognises(cls, source: Source) -> str | None:
        has_masks = any("mask" in (item.files or {}) for item in source.items)
        return "its images have masks" if has_masks else None

    def fields(self, source: Source) -> dict[str, Field]:
        return {"mask": Mask.of(source, "mask", self.void)}

    def prepare(self, train: ImageSet) -> dict[str, Any]:
        """The id of void pixels, and the pixels of each class, by which its loss may balance them.

        Classes are balanced by median frequency where the loss can do so and no other weights
        were set.
        """
        facts = super().prepare(train)
        field = _mask(train.fields)
        if self.loss_pick is not None and "class_counts" in LOSSES.parameters(self.loss_pick.name):
            counts = np.stack([field.pixels(mask) for mask in train.columns["mask"]])
            present = (counts.sum(axis=1, keepdims=True) * (counts > 0)).sum(axis=0)
            balance = {"class_counts": counts.sum(axis=0), "present_counts": present}
            own = self.loss_pick.arguments
            known = {key: value.tolist() for key, value in balance.items() if key not in own}
            facts["loss"] = {**facts.get("loss", {}), **known}
        return {**facts, "void": field.void}

    def losses(self, networks: nn.ModuleDict, batch: Batch, phase: str) -> dict[str, Tensor]:
        scores = _of_size(networks["network"](batch["image"]), batch["image"])
        precise = torch.promote_types(scores.dtype, torch.float32)
        return {"loss": self.loss(scores.to(precise), self._target(batch))}

    def weight(self, batch: Batch) -> float:
        """The number of pixels that are not void, or the sum of the weights of their classes."""
        target, weights = self._target(batch), self._class_weights()
        if weights is None:
            return num_valid_targets(target)
        valid = target[target != IGNORE_INDEX]
        return float(weights.double().to(valid.device)[valid].sum())

    def _class_weights(self) -> Tensor | None:
        """Weights of the classes in a loss that is a weighted mean over pixels; else None."""
        facts: Mapping[str, Any] = self.facts.get("loss", {})
        if "class_weights" in facts:
            return torch.tensor(facts["class_weights"])
        if self.loss_pick is None or self.loss_pick.name != "median_frequency_cross_entropy":
            return None
        given = {**self.loss_pick.arguments, **facts}
        present = given.get("present_counts")
        return median_frequency_weights(
            torch.tensor(given["class_counts"]),
            None if present is None else torch.tensor(present),
            given.get("balance", 1.0),
        )

    def _target(self, batch: Batch) -> Tensor:
        return batch["mask"].masked_fill(batch["mask"] == self.facts["void"], IGNORE_INDEX)

    def predict(self, networks: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        images = batch["image"]
        return {"map": _of_size(map_of(networks["network"], images).float(), images)}

    def postprocess(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        num_classes = outputs["map"].shape[1]
        kind = torch.uint8 if num_classes <= 256 else torch.int32
        return {"mask": outputs["map"].argmax(dim=1).to(kind).cpu()}

    def meter(self, data: DataShape) -> Meter:
        field = _mask(data.fields)
        return ConfusionMeter(field.names, field.void)

    def suited(self, conditions: Conditions) -> dict[str, Setting]:
        return suited_settings(conditions)

    def seen_size(self, size: tuple[int, int], data: DataShape) -> tuple[int, int]:
        scale = self.scale
        if scale is None:
            scale = min(seen / own for seen, own in zip(data.size, size, strict=True))
        return max(1, round(scale * size[0])), max(1, round(scale * size[1]))

    def describe(
        self, names: Sequence[str], outputs: Mapping[str, np.ndarray], data: DataShape
    ) -> list[Prediction]:
        classes = _mask(data.fields).names
        pairs = zip(names, outputs["mask"], strict=True)
        return [MaskPrediction(name, mask, classes) for name, mask in pairs]

    def explained(
        self,
        outputs: Mapping[str, np.ndarray],
        data: DataShape,
        at: tuple[int, int] | None = None,
    ) -> list[Explained]:
        """The object at a position, or the largest that is not of the commonest class.

        An object is a connected region of one class; its number is the mean score of that class
        over its pixels.
        """
        from scipy.ndimage import label

        mask = outputs["mask"][0]
        names = _mask(data.fields).names
        if at is not None and not (0 <= at[0] < mask.shape[0] and 0 <= at[1] < mask.shape[1]):
            raise ConfigError(
                f"There is no pixel in row {at[0]}, column {at[1]} of {mask.shape[0]} × "
                f"{mask.shape[1]}."
            )
        commonest = np.bincount(mask.ravel()).argmax()
        best: tuple[int, int, np.ndarray] = (0, int(commonest), mask == commonest)
        for index in np.unique(mask).tolist():
            regions, _ = label(mask == index)
            if at is not None and regions[at]:
                best = (0, index, regions == regions[at])
            elif at is None and index != commonest:
                sizes = np.bincount(regions.ravel())
                sizes[0] = 0
                best = max(best, (int(sizes.max()), index, regions == sizes.argmax()),
                           key=lambda region: region[0])  # fmt: skip
        _, index, inside = best
        where = torch.from_numpy(inside)
        name = f"{names[index]}, {inside.sum():,} pixels"
        return [Explained(name, lambda y: y[:, index][:, where].mean(1))]

    def files(self, prediction: Prediction, data: DataShape) -> tuple[bytes, ...]:
        """A PNG file with the ids, palette or colours of the training masks."""
        stream, mask = io.BytesIO(), prediction.mask  # type: ignore[attr-defined]
        _mask(data.fields).picture(mask).save(stream, format="PNG", optimize=True)
        return (stream.getvalue(),)

    def draw(self, image: np.ndarray, prediction: Prediction, data: DataShape) -> np.ndarray | None:
        return drawn(image, prediction.mask, _mask(data.fields))  # type: ignore[attr-defined]

    def report(self, folder: RunFolder, data: Dataset, split: ReportedSplit) -> dict[str, Any]:
        return {"classes": figures_of_classes(split.rows, _mask(split.data.fields).names)}

    def sections(self, split: ReportedSplit) -> list[Section]:
        return sections(split, _mask(split.data.fields))


def _mask(fields: Mapping[str, Field]) -> Mask:
    mask: Any = fields["mask"]
    field: Mask = mask
    return field


def _of_size(scores: Tensor, images: Tensor) -> Tensor:
    """The scores, if there are some for each pixel.

    Raises:
        ConfigError: a network whose map has another size than its image.
    """
    if scores.shape[2:] != images.shape[2:]:
        height, width = scores.shape[2:]
        raise ConfigError(
            f"The network gives scores for {height} × {width} pixels of an image of "
            f"{images.shape[2]} × {images.shape[3]}; a mask needs scores for each pixel. Of unet: "
            "--set network.padded=true"
        )
    return scores
