"""The last layer of a training: solved, put into its network, and validated in turn."""

import time
from typing import Any, NamedTuple

import torch

from striate.data.part import ImageSet
from striate.data.source import Progress
from striate.errors import ConfigError, DataError
from striate.evaluation import Scores, headline_in_words
from striate.networks.head import head_names
from striate.training.assemble import Parts
from striate.training.feature_store import FeatureStore
from striate.training.features import Features, affordable, features_of, kept_features
from striate.training.probe import MOST_ITEMS, held_out_scores, solve

__all__ = ["Solved", "held_out_in_words", "solve_head", "validated_in_turn"]


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
        chosen, views = affordable(parts.model, train, seconds, passes)
    features = kept_features(parts.model, chosen, views, progress, store)
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
    if len(features.split) > MOST_ITEMS:
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
