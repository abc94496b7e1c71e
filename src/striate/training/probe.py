"""The last layer of a network solved to its optimum, on features that are computed once.

What a task minimises is convex in the weights of the last layer wherever its loss is (softmax and
binary cross-entropy, squared, absolute and Huber's errors): with the other layers held, no step of
a training is needed. The task sees a network of one layer whose images are rows of features, so
that any task whose network gives scores can be solved without knowing of it.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.config import PredictionConfig
from striate.data.batch import Batch
from striate.data.field import take
from striate.data.loader import to_float
from striate.data.part import ImageSet
from striate.execution import accelerated
from striate.tasks import Task
from striate.training.inference import Model
from striate.training.views import views

PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
"""Penalties λ of λ/2 ‖W‖² among which cross-validation chooses, of standardised features."""
_FOLDS = 5
_MOST_ITEMS = 2_000
"""Items on which the penalty is chosen."""
_ITERATIONS = 100
_AT_ONCE = 64


@dataclass(frozen=True)
class Features:
    """Inputs of a network's last layer for the items of a split."""

    rows: Float[Tensor, "N V F"]
    """Features of each of V views of the N items."""
    split: ImageSet

    def batch(self, items: np.ndarray) -> Batch:
        """The rows of items, view after view, as a task takes images; with their fields."""
        num_views = self.rows.shape[1]
        rows = self.rows[items].transpose(0, 1).flatten(0, 1)
        again = np.tile(items, num_views)
        fields = {
            name: field.collate(take(self.split.columns[name], again))
            for name, field in self.split.fields.items()
        }
        return Batch({"image": rows, **fields}, torch.from_numpy(again))


@dataclass(frozen=True)
class Probe:
    """A solved last layer."""

    weight: Float[Tensor, "K F"]
    bias: Float[Tensor, "K"]
    penalty: float
    losses: tuple[float, ...]
    """Mean held-out loss of each of `PENALTIES`; empty where one was given."""


def features_of(model: Model, split: ImageSet, *, mirrored: bool = True) -> Features:
    """The inputs of the last layer, positions of an image averaged, in evaluation mode.

    Args:
        model: Networks as they predict; the first one has a layer `head`, linear or a 1×1
            convolution whose maps are averaged.
        split: Items with their images.
        mirrored: Whether the mirror image is a view, too.
    """
    network = next(iter(model.networks.values()))
    seen: list[Tensor] = []
    head = network.get_submodule("head")
    chosen = PredictionConfig(mirrored=mirrored)
    rows = []
    with ExitStack() as stack:
        handle = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        stack.callback(handle.remove)
        stack.callback(network.train, network.training)
        network.eval()
        stack.enter_context(torch.inference_mode())
        stack.enter_context(model.execution.arithmetic())
        stack.enter_context(accelerated(network, model.execution))
        for start in range(0, len(split), _AT_ONCE):
            pixels = torch.from_numpy(np.array(split.images[start : start + _AT_ONCE]))
            images = model.normalise(to_float(pixels.to(model.execution.device)))
            each = []
            for _, warp in views(images.shape, chosen):
                view = images if warp is None else warp.image(images)
                seen.clear()
                network(view.contiguous(memory_format=_layout(model)))
                each.append(seen[0].float().flatten(2).mean(2) if seen[0].ndim > 2 else seen[0])
            rows.append(torch.stack(each, 1).cpu())
    return Features(torch.cat(rows), split)


def _layout(model: Model) -> torch.memory_format:
    return torch.channels_last if model.execution.channels_last else torch.contiguous_format


def solve(task: Task, features: Features, num_outputs: int, penalty: float | None = None) -> Probe:
    """The last layer that minimises the task's mean loss + λ/2 ‖W‖² of standardised features.

    Args:
        task: Task with the facts of the training split.
        features: Features of the training split.
        num_outputs: Number of outputs K.
        penalty: λ; None: the one with the least loss of items held out in turn, each fifth of at
            most 2,000.
    """
    items = np.arange(len(features.split))
    losses: tuple[float, ...] = ()
    if penalty is None:
        few = items if len(items) <= _MOST_ITEMS else items[:: -(-len(items) // _MOST_ITEMS)]
        losses = tuple(_held_out_losses(task, features, few, num_outputs))
        penalty = PENALTIES[int(np.argmin(losses))]
    layer = _Standardised(features.rows[torch.from_numpy(items)], num_outputs)
    _minimise(task, layer, features.batch(items), penalty)
    weight, bias = layer.folded()
    return Probe(weight, bias, penalty, losses)


def _held_out_losses(
    task: Task, features: Features, items: np.ndarray, num_outputs: int
) -> np.ndarray:
    """The loss of each penalty on items that were held out; each fold begins at the largest."""
    total: Any = 0.0
    for fold in range(_FOLDS):
        held = items[fold::_FOLDS]
        kept = np.setdiff1d(items, held)
        layer = _Standardised(features.rows[torch.from_numpy(kept)], num_outputs)
        train, test = features.batch(kept), features.batch(held)
        losses = []
        for penalty in PENALTIES:
            _minimise(task, layer, train, penalty)
            with torch.no_grad():
                losses.append(float(_loss(task, layer, test)))
        total = total + len(held) / len(items) * np.array(losses)
    return np.asarray(total)


class _Standardised(nn.Module):
    """A linear layer of features of mean 0 and deviation 1, which begins at zero."""

    def __init__(self, rows: Float[Tensor, "N V F"], num_outputs: int) -> None:
        super().__init__()
        flat = rows.flatten(0, 1)
        self.mean, deviation = flat.mean(0), flat.std(0)
        self.scale = 1 / torch.where(deviation > 1e-6, deviation, 1.0)
        self.linear = nn.Linear(flat.shape[1], num_outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, rows: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        scores: Tensor = self.linear((rows - self.mean) * self.scale)
        return scores

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the layer that takes features as they are."""
        with torch.no_grad():
            weight = self.linear.weight * self.scale
            return weight, self.linear.bias - weight @ self.mean


def _loss(task: Task, layer: nn.Module, batch: Batch) -> Tensor:
    return task.losses(nn.ModuleDict({"network": layer}), batch, "network")["loss"]


def _minimise(task: Task, layer: _Standardised, batch: Batch, penalty: float) -> None:
    """Bring a layer to the optimum from where it is."""
    # Standardised once: each of the many passes is a product of matrices alone.
    rows = (batch["image"] - layer.mean) * layer.scale
    inner = Batch({**batch.fields, "image": rows}, batch.items)
    optimiser = torch.optim.LBFGS(
        layer.linear.parameters(),
        max_iter=_ITERATIONS,
        tolerance_grad=1e-5,
        tolerance_change=1e-7,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = _loss(task, layer.linear, inner) + penalty / 2 * layer.linear.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
