"""Several labels: any number of labels for each image, and of each whether it is there."""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from markupsafe import Markup, escape
from torch import Tensor, nn

from striate import digests
from striate.data import ImageSet
from striate.data.batch import Batch
from striate.data.field.labels import why_labels
from striate.data.source import Source
from striate.data.spelling import shown
from striate.drawing.table import text_table
from striate.errors import ConfigError, RunError, command_line
from striate.evaluation.metric import Columns, KeepingMeter, Meter, Scores
from striate.evaluation.report import Section
from striate.evaluation.several import MEASURES, METRICS, best_thresholds, is_defined, macro
from striate.evaluation.stored import load_predictions
from striate.evaluation.summary import Summary, finite
from striate.losses import LOSSES
from striate.reading import read_json, reported_as
from striate.registry import Pick
from striate.run_folder import RunFolder
from striate.tasks.auxiliary import with_auxiliary
from striate.tasks.class_weight import BALANCED, are_weights
from striate.tasks.prediction import OWN_COLUMNS, Prediction, named_columns
from striate.tasks.task import DataShape, Explained, ReportedSplit, Setting, Task, output

_FOLDS = 5
_SHOWN = 30
"""Labels of a table for a terminal."""


class Labels(Task):
    """Any number of labels for each image."""

    needs = ("image", "labels")

    def __init__(self, loss: Pick | None = None) -> None:
        # The loss of each label, so that those that are not known can be left out.
        super().__init__(None if loss is None else loss.replace(reduction="none"))

    @classmethod
    def recognises(cls, source: Source) -> str | None:
        return why_labels(source)

    def losses(self, networks: nn.ModuleDict, batch: Batch, phase: str) -> dict[str, Tensor]:
        target = batch["labels"]
        return with_auxiliary(
            networks["network"], batch["image"], lambda scores: self._known(scores, target)
        )

    def _known(self, scores: Tensor, target: Tensor) -> Tensor:
        """The mean loss over the labels that are known."""
        known = target >= 0
        each = self.loss(scores, target.clamp_min(0))
        return (each * known).sum() / known.sum().clamp_min(1)

    def weight(self, batch: Batch) -> float:
        """The number of labels that are known."""
        return float((batch["labels"] >= 0).sum())

    def try_loss(self) -> None:
        if self.loss_pick is not None:
            arguments = {**self.loss_pick.arguments}
            weights = arguments.pop("positive_weights", None)
            if not are_weights(weights):
                raise ConfigError(_weight_problem(weights))
            loss = LOSSES.bind(Pick(self.loss_pick.name, **arguments), self.loss_arguments)
            if loss(torch.zeros(3, 2), torch.zeros(3, 2)).shape != (3, 2):
                raise ConfigError(
                    f"{self.loss_pick.name} is for one class of several; of any number of labels: "
                    "binary_cross_entropy, binary_focal."
                )

    def prepare(self, train: ImageSet) -> dict[str, Any]:
        """The weights of positive labels that the loss asks for, by the training images."""
        weights = (
            None if self.loss_pick is None else self.loss_pick.arguments.get("positive_weights")
        )
        if weights is None:
            return {}
        table = np.asarray(train.columns["labels"])
        if weights == BALANCED:
            weights = ((table == 0).sum(0) / np.maximum((table == 1).sum(0), 1)).tolist()
        if len(weights) != table.shape[1]:
            raise ConfigError(f"{_weight_problem(weights)} There are {table.shape[1]} labels.")
        return {"loss": {"positive_weights": weights}}

    def postprocess(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"probabilities": torch.sigmoid(outputs["scores"].cpu().double())}

    def meter(self, data: DataShape) -> Meter:
        return KeepingMeter(METRICS, _rows)

    def figures(self, rows: Columns, data: DataShape) -> "LabelSummary":
        return LabelSummary.of_labels(rows, _names(data))

    def figures_from_json(self, value: Mapping[str, Any]) -> "LabelSummary":
        kept = Summary.from_json(value)
        return LabelSummary(kept.n, kept.estimates, kept.confidence, value["labels"], value["note"])

    def describe(
        self, names: Sequence[str], outputs: Mapping[str, np.ndarray], data: DataShape
    ) -> list[Prediction]:
        labels = _names(data)
        return [
            LabelPrediction(
                name,
                {
                    "labels": [
                        label for label, there in zip(labels, present, strict=True) if there
                    ],
                    "probabilities": dict(zip(labels, map(float, p), strict=True)),
                },
            )
            for name, p, present in zip(
                names, outputs["probabilities"], outputs["present"], strict=True
            )
        ]

    def columns(self, predictions: Sequence[Prediction], data: DataShape) -> tuple[str, ...]:
        return ("labels", *_columns(_names(data)).values())

    def calibrate(self, folder: RunFolder, *, classwise: bool = False) -> dict[str, Any]:
        """Choose and keep the threshold of each label with the best F1 on the validation images."""
        rows = load_predictions(folder.predictions).rows
        thresholds = best_thresholds(rows["probabilities"], rows["labels"])
        positives = (rows["labels"] == 1).sum(0).tolist()
        lines = [
            f"Thresholds of {len(thresholds)} labels, {thresholds.min():.3g} to "
            f"{thresholds.max():.3g}, each with the best F1 on {len(rows):,} validation images."
        ]
        if lacking := positives.count(0):
            lines.append(f"{lacking} label(s) occur in none of them, and have the threshold 0.5.")
        fit = {
            "format": 1,
            "thresholds": thresholds.tolist(),
            "positives": positives,
            "n": len(rows),
            "lines": lines,
        }
        digests.write_json(folder.calibration, fit)
        return fit

    def finish(self, folder: RunFolder) -> None:
        self.calibrate(folder)

    def adjusted(
        self, folder: RunFolder, outputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        p = outputs["probabilities"]
        again = f"Choose the thresholds anew: {command_line('calibrate', folder.path)}"
        digests.require(folder.calibration, again)
        thresholds = np.full(p.shape[1], 0.5)
        with reported_as(RunError, f"{folder.calibration} cannot be read", again):
            with suppress(FileNotFoundError):
                kept = read_json(folder.calibration)["thresholds"]
                thresholds = np.array(kept, np.float64).reshape(p.shape[1])
            if not np.isfinite(thresholds).all():
                raise ValueError("its thresholds are not finite numbers")
        return {**outputs, "present": p >= thresholds}

    def held_out(self, folder: RunFolder) -> Columns:
        rows = load_predictions(folder.predictions).rows
        p, labels = rows["probabilities"], rows["labels"]
        present = p >= 0.5
        fold = np.arange(len(p)) % _FOLDS
        for k in range(_FOLDS):
            other = fold != k
            present[~other] = p[~other] >= best_thresholds(p[other], labels[other])
        return Columns({**rows.columns, "present": present})

    def explained(
        self,
        outputs: Mapping[str, np.ndarray],
        data: DataShape,
        at: tuple[int, int] | None = None,
    ) -> list[Explained]:
        """The score of each label that is above its threshold; of none, the likeliest one's."""
        likeliest = super().explained(outputs, data, at)[:1]
        names = _names(data)
        present = np.flatnonzero(outputs["present"][0]).tolist()
        return [Explained(names[i], partial(output, index=i)) for i in present] or likeliest

    def sections(self, split: ReportedSplit) -> list[Section]:
        figures: Any = split.figures
        title = f"Labels on the {split.name} split"
        body = escape("\n".join(figures.label_lines(len(figures.labels))))
        return [Section(title, Markup("<pre>") + body + Markup("</pre>"))]

    def settings(self) -> dict[str, Setting]:
        loss = Setting(
            "loss",
            {"name": "binary_cross_entropy"},
            "each label is there or not, whatever the others are",
            "binary cross-entropy",
        )
        return {"loss": loss}

    def chance_level(self, data: DataShape) -> float | None:
        plain = Pick("binary_cross_entropy", reduction="none")
        return math.log(2) if self.loss_pick == plain else None


def _rows(prediction: Mapping[str, Tensor], batch: Batch) -> dict[str, np.ndarray]:
    """Probabilities (B, K) in float64 and labels (B, K): 1, 0, or -1 where not known."""
    labels = batch["labels"].cpu().numpy().astype(np.int8)
    return {"probabilities": prediction["probabilities"].numpy(), "labels": labels}


class LabelPrediction(Prediction):
    """The predicted labels of one image, with the probability of each label."""

    def cells(self) -> dict[str, Any]:
        shares = self.values["probabilities"]
        columns = _columns(shares)
        own = {"labels": ";".join(self.values["labels"])}
        return own | {columns[name]: share for name, share in shares.items()}

    def text(self) -> str:
        shares = self.values["probabilities"]
        return "  ".join(f"{shown(n)} {shares[n]:.1%}" for n in self.values["labels"]) or "no label"


@dataclass(frozen=True)
class LabelSummary(Summary):
    """The metrics over all labels, and those of each label, with their intervals."""

    labels: Mapping[str, Any] = field(default_factory=dict)
    """JSON values of each label: the number of its items, and its metrics."""
    note: str = ""
    """Sentence on what was left out."""

    @classmethod
    def of_labels(cls, rows: Columns, names: Sequence[str]) -> "LabelSummary":
        """The figures of rows, with 95 % intervals."""
        table = np.asarray(rows["labels"])
        labels = {}
        for k, name in enumerate(names):
            one = Columns({key: np.asarray(c)[:, k : k + 1] for key, c in rows.columns.items()})
            parts = {measure: macro(measure, one) for measure in MEASURES}
            labels[name] = {"positives": int((table[:, k] == 1).sum())} | {
                measure: {"value": finite(e.value), "low": e.low, "high": e.high}
                for measure, e in parts.items()
            }
        lacking = int((~is_defined("F1", table)).sum())
        notes = [f"{lacking} label(s) occur in none of the images and are left out"] * bool(lacking)
        missing = int((table < 0).sum())
        notes += [f"{missing:,} labels of images are not known and left out"] * bool(missing)
        plain = Summary.of(Scores(METRICS, rows))
        return cls(plain.n, plain.estimates, labels=labels, note="; ".join(notes))

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "labels": dict(self.labels), "note": self.note}

    def lines(self) -> list[str]:
        return [*super().lines(), *self.notes(), *self.label_lines(_SHOWN)]

    def notes(self) -> list[str]:
        return [f"{self.note}."] if self.note else []

    def label_lines(self, most: int) -> list[str]:
        """A table of the labels, the first of them."""
        rows = [("label", "images", *MEASURES)]
        for name, kept in list(self.labels.items())[:most]:
            rows.append(
                (shown(name), f"{kept['positives']:,}", *(_cell(kept[m]) for m in MEASURES))
            )
        more = [f"and {len(self.labels) - most} more"] if len(self.labels) > most else []
        return [*text_table(rows, "<>").splitlines(), *more]


def _cell(kept: Mapping[str, float | None]) -> str:
    value, low, high = (kept[key] for key in ("value", "low", "high"))
    ends = "" if low is None else f" [{low:.3f}, {high:.3f}]"
    return "–" if value is None else f"{value:.3f}{ends}"


def _names(data: DataShape) -> tuple[str, ...]:
    return data.fields["labels"].names


def _columns(names: Iterable[str]) -> dict[str, str]:
    return named_columns(names, (*OWN_COLUMNS, "labels"), "p_")


def _weight_problem(weights: Any) -> str:
    return (
        f"loss.positive_weights={weights!r} does not fit; accepted: {BALANCED}, by the counts of "
        "the training images, or a list with one number for each label."
    )
