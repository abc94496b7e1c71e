"""The last layer of a network solved to its optimum, on features that are computed once.

What a task minimises is convex in the weights of the last layer wherever its loss is (softmax and
binary cross-entropy, squared, absolute and Huber's errors): with the other layers held, no step of
a training is needed. The task sees a network of one layer whose images are rows of features, so
that any task whose network gives scores can be solved without knowing of it.
"""

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.config import PredictionConfig
from striate.data.batch import Batch
from striate.data.field import strata_of
from striate.data.fold import folds_of
from striate.data.part import ImageSet
from striate.data.source import Progress
from striate.errors import ConfigError, DataError
from striate.evaluation import Scores, headline_in_words
from striate.networks.head import head_names
from striate.randomness import some_of
from striate.tasks import DataShape, Task, View
from striate.training.assemble import Parts
from striate.training.feature_store import FeatureStore
from striate.training.inference import Model, infer
from striate.training.views import num_views
from striate.training.views import views as views_of

PENALTIES = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""Penalties λ of λ/2 ‖W‖² among which cross-validation chooses, of features of variance 1."""
_USUAL = 0.1
"""Penalty where there are too few items to choose it by."""
_FOLDS = 5
_MOST_ITEMS = 1_000
"""Items on which the penalty is chosen."""
_QUICK, _ITERATIONS = 30, 100
"""Iterations of L-BFGS: while the penalty is chosen, and for the layer itself."""
_EXACT = 2**22
"""Numbers up to which float64 is used: the features of 3,276 images of EfficientNet-Lite0."""
_AT_ONCE, _FEWEST, _PIXELS = 64, 4, 2**20
"""Images at once, and pixels that they have at most: maps of more leave the processor's caches."""
_ONE_VIEW = PredictionConfig()
_WARMING, _TIMED, _REPEATS = 16, 64, 3
"""Images whose features are computed first, those by which the speed is measured, and how often:
the quickest counts, for what disturbs a third of a second does not last."""


@dataclass(frozen=True)
class Features:
    """Inputs of a network's last layer for the items of a split."""

    rows: Float[Tensor, "N V F"]
    """Features of each of V views of the N items."""
    split: ImageSet
    turned_from: int | None = None
    """Features F that these were turned from; None: they are as the network gives them."""
    weights: tuple[float, ...] = ()
    """Weights of the views in a prediction; none: the first view alone predicts."""

    def turned(self) -> "Features":
        """These features in the space that they span, where they are fewer than there are features.

        A turn changes no product of features, and so neither losses nor scores of a layer with a
        penalty on its length: its weights lie in that space.
        """
        flat = self.rows.flatten(0, 1)
        if len(flat) >= flat.shape[1]:
            return self
        axes, _ = torch.linalg.qr(flat.T.double())
        rows = (flat.double() @ axes).float().view(*self.rows.shape[:2], -1)
        return replace(self, rows=rows, turned_from=flat.shape[1])

    def part(self, items: np.ndarray) -> "Features":
        """The features of some of the items (their indices)."""
        rows = self.rows[torch.from_numpy(items)]
        return replace(self, rows=rows, split=self.split.part(items))

    def scaled(self, items: np.ndarray, num_outputs: int) -> "_Scaled":
        """A layer at zero that scales features as those of some items ask for."""
        return _Scaled(self.rows[torch.from_numpy(items)], num_outputs, self.turned_from)

    def first_view(self) -> "Features":
        """The features of the first view alone."""
        return replace(self, rows=self.rows[:, :1], weights=())

    def batch(self, items: np.ndarray) -> Batch:
        """The rows of items, view after view, as a task takes images; with their fields."""
        rows = self.rows[items].transpose(0, 1).flatten(0, 1)
        again = np.tile(items, self.rows.shape[1])
        return Batch({"image": rows, **self.split.targets(again)}, torch.from_numpy(again))


@dataclass(frozen=True)
class Probe:
    """A solved last layer."""

    weight: Float[Tensor, "K F"]
    bias: Float[Tensor, "K"]
    penalty: float
    losses: tuple[float, ...]
    """Mean held-out loss of `PENALTIES`, as many as were tried; empty where one was given."""


class Solved(NamedTuple):
    """The last layer of a network, filled with its optimum."""

    how: str
    """In a sentence, how it was had."""
    features: Features
    penalty: float


def solve_head(
    parts: Parts,
    train: ImageSet,
    seconds: float | None = None,
    passes: int = 0,
    progress: Progress | None = None,
    store: FeatureStore | None = None,
) -> Solved:
    """Fill the last layer of the first network with its optimum.

    Args:
        parts: Parts of the training, on the features' published weights.
        train: Training split.
        seconds: Seconds for the features: mirrored images are left out, and then a part of the
            images, where all would take longer; None: as many as that takes.
        passes: Further forward passes that these seconds are for.
        progress: Receives how many images' features are known.
        store: Keeps features for other trainings; None: nothing is kept.

    Raises:
        ConfigError: the network has several last layers, or one without a bias.
    """
    network = next(iter(parts.networks.values()))
    names = head_names(network)
    head = network.get_submodule(names[0])
    weight, bias = getattr(head, "weight", None), getattr(head, "bias", None)
    if len(names) > 1 or weight is None or bias is None:
        raise ConfigError(
            "pretrained.head=solved is for a network with one last layer that has a bias; "
            "pretrained.head=zero trains any."
        )
    began = time.monotonic()
    chosen, views = train, parts.model.prediction
    are_kept = store is not None and store.holds(train, views)
    if seconds is not None and not are_kept:
        chosen, views = _affordable(parts.model, train, seconds, passes)
    features = _kept_features(parts.model, chosen, views, progress, store)
    computed = time.monotonic()
    solved = solve(parts.task, features, len(weight))
    with torch.no_grad():
        weight.copy_(solved.weight.view_as(weight))
        bias.copy_(solved.bias)
    num_images, count, num_features = features.rows.shape
    chosen_by = ", by cross-validation" if solved.losses else ""
    text = (
        f"The last layer is solved on {num_features:,} features of {num_images:,} images"
        f"{f', each seen in {count} ways' if count > 1 else ''}: "
        f"{computed - began:.1f} s for the features, {time.monotonic() - computed:.1f} s for the "
        f"layer (penalty {solved.penalty:.2g}{chosen_by})."
    )
    return Solved(text, features, solved.penalty)


def held_out_in_words(parts: Parts, solved: Solved) -> str:
    """A sentence on how layers without them predict images of the training split.

    It is empty where there are too few of them, or too many for the time that it takes.
    """
    features = solved.features.first_view()
    if len(features.split) > _MOST_ITEMS:
        return ""
    num_outputs = _num_outputs(parts)
    scores = held_out_scores(parts.task, features, parts.data, num_outputs, solved.penalty)
    if scores is None:
        return ""
    found = headline_in_words(scores)
    return f" Images held out in turn, by layers without them: {found}."


def validated_in_turn(parts: Parts, split: ImageSet, features: Features | None) -> Scores:
    """Scores of all images that a solved last layer learns from, by layers without them.

    Each layer chooses its penalty without the images that it predicts, and sees them in all views
    of a prediction.

    Args:
        parts: Parts of the training, on the features' published weights.
        split: Training split.
        features: Features of all of its images in these views; None: computed now.

    Raises:
        DataError: too few images, or groups of them, to hold some out.
    """
    if features is None:
        features = features_of(parts.model, split, parts.model.prediction)
    scores = held_out_scores(parts.task, features, parts.data, _num_outputs(parts), None)
    if scores is None:
        raise DataError(
            f"{len(split)} image(s) outside the test split are too few, or of one group, to hold "
            "some of them out in turn: add images, or --set data.validation=apart."
        )
    return scores


def _num_outputs(parts: Parts) -> int:
    network = next(iter(parts.networks.values()))
    head: Any = network.get_submodule(head_names(network)[0])
    return len(head.weight)


def _kept_features(
    model: Model,
    split: ImageSet,
    views: PredictionConfig,
    progress: Progress | None,
    store: FeatureStore | None,
) -> Features:
    """Features of a split; with a store those that it has are not computed again."""
    if store is None:
        return features_of(model, split, views, progress=progress)
    rows = store.features(
        split, views, lambda some: features_of(model, some, views, progress=progress).rows
    )
    weights = tuple(weight for weight, _ in views_of(split.images.shape, views))
    return Features(rows, split, weights=weights)


def _affordable(
    model: Model, train: ImageSet, seconds: float, passes: int
) -> tuple[ImageSet, PredictionConfig]:
    """The images whose features fit into the time, and the views of them that do, too."""
    began = time.monotonic()
    few = some_of(len(train), _TIMED, "timed")
    features_of(model, train.part(few[:_WARMING]))
    times = []
    for _ in range(_REPEATS):
        timed = time.monotonic()
        features_of(model, train.part(few))
        times.append(time.monotonic() - timed)
    each = min(times) / len(few)
    affordable = round((seconds - (time.monotonic() - began)) / each) - passes
    if affordable < len(train):
        train = train.part(some_of(len(train), max(affordable, _TIMED), "features"))
    mirrored = PredictionConfig(mirrored=model.prediction.mirrored)
    for views in (model.prediction, mirrored):
        if affordable >= num_views(views) * len(train):
            return train, views
    return train, PredictionConfig()


def features_of(
    model: Model,
    split: ImageSet,
    views: PredictionConfig = _ONE_VIEW,
    *,
    progress: Progress | None = None,
) -> Features:
    """The inputs of the last layer, positions of an image averaged, in evaluation mode.

    Args:
        model: Networks as they predict; the first one has a layer `head`, linear or a 1×1
            convolution whose maps are averaged.
        split: Items with their images.
        views: Views of each image.
        progress: Receives how many images are done.
    """
    network = next(iter(model.networks.values()))
    head = network.get_submodule(head_names(network)[0])
    height, width = split.images.shape[1:3]
    seen: list[Tensor] = []  # view after view of each batch

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        features = inputs[0].float()
        seen.append((features.flatten(2).mean(2) if features.ndim > 2 else features).cpu())

    hook = head.register_forward_pre_hook(keep)
    try:
        infer(
            replace(model, prediction=views),
            split.images,
            batch_size=min(_AT_ONCE, max(_FEWEST, _PIXELS // (height * width))),
            progress=None if progress is None else partial(progress, "computing features"),
        )
    finally:
        hook.remove()
    count = num_views(views)
    each = [torch.cat(seen[view::count]) for view in range(count)]
    weights = tuple(weight for weight, _ in views_of(split.images.shape, views))
    return Features(torch.stack(each, 1), split, weights=weights)


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
    layer = features.scaled(np.arange(num_items), num_outputs)
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
    few = some_of(len(features.split), _MOST_ITEMS, "penalty")
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
        layer = features.scaled(kept, num_outputs)
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
        layer = features.scaled(few, num_outputs)
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
