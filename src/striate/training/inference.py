"""Predictions for many images: the one path of validation, evaluation and prediction."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.config import PredictionConfig
from striate.data.batch import Batch
from striate.data.loader import Normalisation, to_float
from striate.data.part import ImageSet
from striate.data.streamed import Pixels
from striate.evaluation.metric import GROUP, Columns, Scores
from striate.execution import Execution, accelerated, keep_pages
from striate.tasks import DataShape, Task, View
from striate.training.views import views

_ONE_VIEW = PredictionConfig()
_AT_ONCE, _FEWEST = 256, 16
_PIXELS = 2**22
"""At once at most: 256 images of 128 × 128, 83 of 224 × 224, whose first maps then take a gigabyte
or two."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Model:
    """Trained networks with everything that a prediction follows.

    Args:
        networks: Networks by name, on the execution's device; they are left in their own mode.
        task: Task that the networks serve.
        normalise: Mean and deviation of the training split.
        execution: Device, layout and precision.
        prediction: Views of each image whose outputs are averaged.
    """

    networks: nn.ModuleDict
    task: Task
    normalise: Normalisation
    execution: Execution
    prediction: PredictionConfig = _ONE_VIEW


def infer(
    model: Model,
    images: Pixels,
    *,
    batch_size: int | None = None,
    size: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """The task's predictions (N, ...) by name for uint8 images (N, H, W, C).

    Args:
        model: Networks and how they predict.
        images: An array, a memory map or streamed images; read batch by batch.
        batch_size: Images at a time; None: 256, of large images fewer, for their maps fill the
            memory.
        size: Height and width to which maps are brought before they become predictions; None: as
            they are.
        progress: Called with the number of images done and N.
    """
    batches = [outputs for _, outputs in _predictions(model, images, batch_size, progress, size)]
    return {
        name: np.concatenate([outputs[name].numpy() for outputs in batches]) for name in batches[0]
    }


def evaluate(
    model: Model,
    split: ImageSet,
    data: DataShape,
    *,
    index: np.ndarray | None = None,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Scores:
    """The metrics of a split and the rows that they follow from.

    Args:
        model: Networks and how they predict.
        split: Items with their targets.
        data: Shape of the set.
        index: Rows of the items to take (M,); None: all.
        batch_size: Images at a time; None: as `infer` chooses.
        progress: Called with the number of images done and N.
    """
    images = split.images if index is None else split.images[index]
    chosen = np.arange(len(split)) if index is None else index
    meter = model.task.meter(data)
    for start, outputs in _predictions(model, images, batch_size, progress):
        count = len(next(iter(outputs.values())))
        items = chosen[start : start + count]
        meter.update(outputs, Batch(split.targets(items), torch.from_numpy(items)))
    rows = meter.rows()
    if model.task.keeps_groups and split.groups and isinstance(rows, Columns):
        groups = np.unique(split.groups, return_inverse=True)[1][chosen]
        rows = Columns({**rows.columns, GROUP: groups})
    return Scores(meter.metrics, rows)


def _predictions(
    model: Model,
    images: Pixels,
    batch_size: int | None,
    progress: Progress | None,
    size: tuple[int, int] | None = None,
) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """The predictions of each batch, with the position of its first image."""
    networks, execution = model.networks, model.execution
    keep_pages()
    if batch_size is None:
        height, width = images.shape[1:3]
        batch_size = min(_AT_ONCE, max(_FEWEST, _PIXELS // (height * width)))
    with ExitStack() as stack:
        for network in networks.values():
            stack.callback(network.train, network.training)
        networks.eval()
        stack.enter_context(execution.arithmetic())
        for network in networks.values():
            stack.enter_context(accelerated(network, execution))
        for start in range(0, len(images), batch_size):
            # A copy: the memory map is read-only.
            chunk = np.array(images[start : start + batch_size])
            pixels = torch.from_numpy(chunk).to(execution.device)
            yield start, _of_batch(model, model.normalise(to_float(pixels)), start, size)
            if progress is not None:
                progress(min(start + batch_size, len(images)), len(images))


@torch.inference_mode()
def _of_batch(
    model: Model, inputs: Tensor, start: int, size: tuple[int, int] | None
) -> dict[str, Tensor]:
    execution, task = model.execution, model.task
    layout = torch.channels_last if execution.channels_last else torch.contiguous_format
    items = torch.arange(start, start + len(inputs))
    outputs = []
    for weight, warp in views(inputs.shape, model.prediction):
        view = inputs if warp is None else warp.image(inputs)
        batch = Batch({"image": view.contiguous(memory_format=layout)}, items)
        with execution.autocast():
            outputs.append(View(weight, warp, task.predict(model.networks, batch)))
    merged = task.merge(outputs)
    if size is not None and size != tuple(inputs.shape[2:]):
        merged = {
            name: functional.interpolate(value, size=size, mode="bilinear", align_corners=False)
            for name, value in merged.items()
        }
    return task.postprocess(merged)
