"""A network's answers to many images: the one path of validation, evaluation and prediction."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from striate.data.loader import Normalisation, to_float
from striate.tasks import Classification
from striate.training.execution import Execution

__all__ = ["infer"]


@torch.inference_mode()
def infer(
    network: nn.Module,
    task: Classification,
    images: np.ndarray,
    normalise: Normalisation,
    execution: Execution,
    *,
    batch_size: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Probabilities (N, K) in float64 for uint8 images (N, H, W, C); the network is left in its
    own mode.

    Args:
        network: on the execution's device.
        task: reads scores as probabilities.
        images: an array or a memory map; read batch by batch.
        normalise: that of the training split.
        execution: device, layout and precision.
        batch_size: images at a time.
        progress: called with images done and N.
    """
    was_training = network.training
    network.eval()
    answers = []
    try:
        for start in range(0, len(images), batch_size):
            chunk = np.array(
                images[start : start + batch_size]
            )  # a copy: the memory map is read-only
            inputs = normalise(to_float(torch.from_numpy(chunk).to(execution.device)))
            if execution.channels_last:
                inputs = inputs.contiguous(memory_format=torch.channels_last)
            else:
                inputs = inputs.contiguous()
            with execution.autocast():
                scores = network(inputs)
            answers.append(task.probabilities(scores.float().cpu()).numpy())
            if progress is not None:
                progress(min(start + batch_size, len(images)), len(images))
    finally:
        network.train(was_training)
    return np.concatenate(answers)
