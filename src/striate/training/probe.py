"""The last layer of a network solved to its optimum, on features that are computed once.

What a task minimises is convex in the weights of the last layer wherever its loss is (softmax and
binary cross-entropy, squared, absolute and Huber's errors): with the other layers held, no step of
a training is needed. The task sees a network of one layer whose images are rows of features, so
that any task whose network gives scores can be solved without knowing of it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.data.batch import Batch
from striate.data.field import strata_of
from striate.data.fold import folds_of
from striate.data.part import ImageSet
from striate.evaluation import Scores
from striate.randomness import some_of
from striate.tasks import DataShape, Task, View
from striate.training.features import Features

PENALTIES = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""Penalties λ of λ/2 ‖W‖² among which cross-validation chooses, of features of variance 1."""
_USUAL = 0.1
"""Penalty where there are too few items to choose it by."""
_FOLDS = 5
MOST_ITEMS = 1_000
"""Items on which the penalty is chosen."""
_QUICK, _ITERATIONS = 30, 100
"""Iterations of L-BFGS: while the penalty is chosen, and for the layer itself."""
_EXACT = 2**22
"""Numbers up to which float64 is used: the features of 3,276 images of EfficientNet-Lite0."""


@dataclass(frozen=True)
class Probe:
    """A solved last layer."""

    weight: Float[Tensor, "K F"]
    bias: Float[Tensor, "K"]
    penalty: float
    losses: tuple[float, ...]
    """Mean held-out loss of `PENALTIES`, as many as were tried; empty where one was given."""


def solve(task: Task, features: Features, num_outputs: int, penalty: float | None = None) -> Probe:
    """The last layer that minimises the task's mean loss + λ/2 ‖W‖² of scaled features.

    Args:
        task: Task with the facts of the training split.
        features: Features of the training split.
        num_outputs: Number of outputs K.
        penalty: λ; None: what `choose_penalty` finds.
    """
    num_items = len(features.split)
    losses: tuple[float, ...] = ()
    if penalty is None:
        penalty, losses = choose_penalty(task, features, num_outputs)
    layer = _scaled(features, np.arange(num_items), num_outputs)
    _minimise(task, layer, features.batch(np.arange(num_items)), penalty, _ITERATIONS)
    weight, bias = layer.folded()
    return Probe(weight, bias, penalty, losses)


def choose_penalty(
    task: Task, features: Features, num_outputs: int
) -> tuple[float, tuple[float, ...]]:
    """The penalty for all items, by cross-validation of at most 1,000, and the losses found.

    It is the largest whose loss is within a standard error, over the folds, of the least. What
    suits n items is n/N of that for all N: the sum of the losses against the same prior.

    Source: Breiman, Friedman, Olshen and Stone, "Classification and regression trees", 1984,
    section 3.4.3 (the 1 SE rule).
    """
    few = some_of(len(features.split), MOST_ITEMS, "penalty")
    first = features.first_view().part(few).turned()
    losses = _held_out_losses(task, first, num_outputs)
    if not len(losses):
        return _USUAL * len(few) / len(features.split), ()
    means = losses.mean(1)
    error = losses[means.argmin()].std(ddof=1) / losses.shape[1] ** 0.5
    best = int(np.flatnonzero(means <= means.min() + error)[0])
    return PENALTIES[best] * len(few) / len(features.split), tuple(means.tolist())


def _held_out_losses(task: Task, features: Features, num_outputs: int) -> np.ndarray:
    """The loss of items held out in turn (P, folds), for each penalty until their mean grows.

    Each layer begins at that of the larger penalty before. One view of an image is enough. Of fewer
    than four items none is held out.
    """
    folds = []
    for kept, held in _folds(features.split):
        layer = _scaled(features, kept, num_outputs)
        folds.append((layer, features.batch(kept), features.batch(held)))
    losses: list[list[float]] = []
    for penalty in PENALTIES if folds else ():
        of_folds = []
        for layer, train, held_out in folds:
            _minimise(task, layer, train, penalty, _QUICK)
            with torch.no_grad():
                of_folds.append(float(task.loss_of(layer, held_out)))
        losses.append(of_folds)
        if sum(of_folds) > min(map(sum, losses)):
            break
    return np.array(losses)


def _folds(split: ImageSet) -> list[tuple[np.ndarray, np.ndarray]]:
    """Items that stay and items that are held out, in turn: classes spread, groups undivided.

    No fold where there are fewer than four items, or all are of one group.
    """
    groups = split.groups or split.names
    num_folds = min(_FOLDS, len(set(groups)), len(split) // 2)
    if num_folds < 2:
        return []
    strata, _ = strata_of(split.columns, split.fields, len(split))
    fold = np.array(folds_of(groups, strata, num_folds, are_classes=False))
    return [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(num_folds)]


def held_out_scores(
    task: Task,
    features: Features,
    data: DataShape,
    num_outputs: int,
    penalty: float | None,
    share: float = 1.0,
) -> Scores | None:
    """Scores of items that are held out in turn, by layers that are solved without them.

    Args:
        task: Task with the facts of the training split.
        features: Features of the training split; their views have weights, or the first predicts.
        data: Shape of the set.
        num_outputs: Number of outputs K.
        penalty: Penalty that suits all of the items; None: chosen for each layer, without the
            items that are held out.
        share: Share of the items that stay which a layer learns from.

    Returns:
        The scores; None where there are too few items, or groups, to hold some out.
    """
    predicted: dict[str, Tensor] = {}
    num_items, features = len(features.split), features.turned()
    for kept, held in _folds(features.split):
        few = kept[some_of(len(kept), max(1, round(share * len(kept))), "learned from")]
        if penalty is None:
            inner, _ = choose_penalty(task, features.part(few), num_outputs)
        else:  # as in `solve`: the sum of the losses against the same prior
            inner = penalty * num_items / len(few)
        layer = _scaled(features, few, num_outputs)
        _minimise(task, layer, features.batch(few), inner, _QUICK)
        for name, outputs in _predicted(task, layer, features, held).items():
            whole = predicted.setdefault(name, outputs.new_zeros(num_items, *outputs.shape[1:]))
            whole[torch.from_numpy(held)] = outputs
    if not predicted:
        return None
    items, meter = np.arange(num_items), task.meter(data)
    meter.update(predicted, Batch(features.split.targets(items), torch.from_numpy(items)))
    return Scores(meter.metrics, meter.rows())


@torch.no_grad()
def _predicted(
    task: Task, layer: nn.Module, features: Features, items: np.ndarray
) -> dict[str, Tensor]:
    """What a layer predicts for some of the items, their views merged."""
    network = nn.ModuleDict({"network": layer})
    outputs = []
    for view, weight in enumerate(features.weights or (1.0,)):
        image = features.rows[torch.from_numpy(items), view]
        batch = Batch({"image": image}, torch.from_numpy(items))
        outputs.append(View(weight, None, task.predict(network, batch)))
    return task.postprocess(task.merge(outputs))


def _scaled(features: Features, items: np.ndarray, num_outputs: int) -> "_Scaled":
    """A layer at zero that scales features as those of some items ask for."""
    rows = features.rows[torch.from_numpy(items)]
    return _Scaled(rows, num_outputs, features.turned_from)


class _Scaled(nn.Module):
    """A linear layer of features of mean 0 and mean variance 1, which begins at zero.

    One scale for all features: with one for each, those that seldom stir count too much (15-Scene,
    EfficientNet-Lite0 at 160 pixels, 1,350 images, 5 folds: 10.9 % for 10.4 %).
    """

    def __init__(
        self, rows: Float[Tensor, "N V F"], num_outputs: int, num_features: int | None = None
    ) -> None:
        super().__init__()
        flat = rows.flatten(0, 1)
        self.mean = flat.mean(0)
        lengths = (flat - self.mean).square().sum(1)
        deviation = (lengths.mean() / (num_features or flat.shape[1])).sqrt()
        self.scale = 1 / deviation.clamp_min(1e-6)
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


def _minimise(
    task: Task, layer: _Scaled, batch: Batch, penalty: float, most_iterations: int
) -> None:
    """Bring a layer to the optimum from where it is.

    In float32 a loss is known to 6e-8, where L-BFGS sees no descent any more, and the weights to
    the root of that; by how much depends on the processor. Few features afford float64.
    """
    # Scaled once: each of the many passes is a product of matrices alone.
    rows = (batch["image"] - layer.mean) * layer.scale
    dtype = torch.float64 if rows.numel() <= _EXACT else torch.float32
    fields = {
        name: value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
        for name, value in {**batch.fields, "image": rows}.items()
    }
    inner = Batch(fields, batch.items)
    layer.linear.to(dtype)
    optimiser = torch.optim.LBFGS(
        layer.linear.parameters(),
        max_iter=most_iterations,
        tolerance_grad=1e-6,
        tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = task.loss_of(layer.linear, inner) + penalty / 2 * layer.linear.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    layer.linear.float()
