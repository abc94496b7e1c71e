"""Features: the inputs of a network's last layer, for images and views of them."""

import time
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.config import PredictionConfig
from striate.data.batch import Batch
from striate.data.part import ImageSet
from striate.data.source import Progress
from striate.networks.head import head_names
from striate.randomness import some_of
from striate.training.feature_store import FeatureStore
from striate.training.inference import Model, infer
from striate.training.views import num_views
from striate.training.views import views as views_of

__all__ = ["Features", "affordable", "features_of", "kept_features"]

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

    def first_view(self) -> "Features":
        """The features of the first view alone."""
        return replace(self, rows=self.rows[:, :1], weights=())

    def batch(self, items: np.ndarray) -> Batch:
        """The rows of items, view after view, as a task takes images; with their fields."""
        rows = self.rows[items].transpose(0, 1).flatten(0, 1)
        again = np.tile(items, self.rows.shape[1])
        return Batch({"image": rows, **self.split.targets(again)}, torch.from_numpy(again))


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


def kept_features(
    model: Model,
    split: ImageSet,
    views: PredictionConfig,
    progress: Progress | None,
    store: FeatureStore | None,
) -> Features:
    """Features of a split; with a store those that it has are not computed again.

    Args:
        model: Networks as they predict.
        split: Items with their images.
        views: Views of each image.
        progress: Receives how many images are done.
        store: Keeps features for other trainings; None: nothing is kept.
    """
    if store is None:
        return features_of(model, split, views, progress=progress)
    rows = store.features(
        split, views, lambda some: features_of(model, some, views, progress=progress).rows
    )
    weights = tuple(weight for weight, _ in views_of(split.images.shape, views))
    return Features(rows, split, weights=weights)


def affordable(
    model: Model, train: ImageSet, seconds: float, passes: int
) -> tuple[ImageSet, PredictionConfig]:
    """The images whose features fit into the time, and the views of them that do, too.

    Args:
        model: Networks as they predict.
        train: Training split.
        seconds: Seconds for the features.
        passes: Further forward passes that these seconds are for.
    """
    began = time.monotonic()
    few = some_of(len(train), _TIMED, "timed")
    features_of(model, train.part(few[:_WARMING]))
    times = []
    for _ in range(_REPEATS):
        timed = time.monotonic()
        features_of(model, train.part(few))
        times.append(time.monotonic() - timed)
    each = min(times) / len(few)
    num_passes = round((seconds - (time.monotonic() - began)) / each) - passes
    if num_passes < len(train):
        train = train.part(some_of(len(train), max(num_passes, _TIMED), "features"))
    mirrored = PredictionConfig(mirrored=model.prediction.mirrored)
    for views in (model.prediction, mirrored):
        if num_passes >= num_views(views) * len(train):
            return train, views
    return train, PredictionConfig()
