"""A network's answers to many images: the one path of validation, evaluation and prediction."""

from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import torch
from torch import nn

from striate.config import PredictionConfig
from striate.data.loader import Normalisation, to_float
from striate.data.streamed import Pixels
from striate.execution import Execution, accelerated
from striate.tasks import Classification
from striate.training.views import views

__all__ = ["infer"]

_ONE_VIEW = PredictionConfig()
_AT_ONCE, _FEWEST = 256, 16
_PIXELS = 2**22
"""At once at most: 256 images of 128 × 128, 83 of 224 × 224, whose first maps then take a gigabyte
or two."""


@torch.inference_mode()
def infer(
    network: nn.Module,
    task: Classification,
    images: Pixels,
    normalise: Normalisation,
    execution: Execution,
    prediction: PredictionConfig = _ONE_VIEW,
    *,
    batch_size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Probabilities (N, K) in float64 for uint8 images (N, H, W, C); the network is left in its
    own mode.

    Args:
        network: on the execution's device.
        task: reads scores as probabilities.
        images: an array, a memory map or streamed images; read batch by batch.
        normalise: that of the training split.
        execution: device, layout and precision.
        prediction: views of each image over which the scores are averaged.
        batch_size: images at a time; None: 256, of large images fewer, for their maps fill the
            memory.
        progress: called with images done and N.
    """
    if batch_size is None:
        height, width = images.shape[1:3]
        batch_size = min(_AT_ONCE, max(_FEWEST, _PIXELS // (height * width)))
    was_training = network.training
    network.eval()
    answers = []
    quick = ExitStack()
    try:
        quick.enter_context(execution.arithmetic())
        quick.enter_context(accelerated(network, execution))
        for start in range(0, len(images), batch_size):
            chunk = np.array(
                images[start : start + batch_size]
            )  # a copy: the memory map is read-only
            inputs = normalise(to_float(torch.from_numpy(chunk).to(execution.device)))
            layout = torch.channels_last if execution.channels_last else torch.contiguous_format
            scores = torch.zeros(())
            for weight, view in views(inputs, prediction):
                with execution.autocast():
                    answer = network(view.contiguous(memory_format=layout))
                scores = scores.to(answer.device) + weight * answer.float()
            answers.append(task.probabilities(scores.cpu()).numpy())
            if progress is not None:
                progress(min(start + batch_size, len(images)), len(images))
    finally:
        quick.close()
        network.train(was_training)
    return np.concatenate(answers)
