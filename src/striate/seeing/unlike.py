"""Whether an image looks unlike the training set, as a p-value that needs no assumption on shape.

Each image gets a number: how far its features lie from the nearest training images. Images that
were held out of training show how large this number usually is. The p-value of another image is its
rank among theirs: of images from the same source, 5% get a p-value of 0.05 or less.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from striate.errors import ConfigError
from striate.seeing.index import FeatureIndex, nearest

__all__ = ["calibrated", "p_values", "unlikeness"]

_NEIGHBOURS = 5
"""Few, since a class may have no more; several, since one may be a stray."""


def unlikeness(index: FeatureIndex, features: Float[Tensor, "B F"]) -> Float[Tensor, "B"]:
    """The mean cosine distance of features to those of the five nearest training images.

    Which classes these belong to does not matter, nor which class is predicted.

    Args:
        index: Features of the training images.
        features: Features of the images in question, at the layer of the index.

    Returns:
        0 (the same direction) to 2.

    Raises:
        ConfigError: features of another size, or that are not finite.

    Source: Laxhammar and Falkman, Inductive conformal anomaly detection for sequential detection of
    anomalous sub-trajectories (2015), for nearest neighbours; Sun et al., Out-of-distribution
    Detection with Deep Nearest Neighbors (2022), section 3, for features of length 1.

    Example:
        >>> index = FeatureIndex(torch.eye(2).half(), ("a", "b"), ("0", "1"), "")
        >>> unlikeness(index, torch.tensor([[3.0, 0.0], [-1.0, 0.0]])).tolist()
        [0.5, 1.5]
    """
    return (1 - nearest(index, features, _NEIGHBOURS).similarities.mean(1)).clamp(min=0)


def calibrated(index: FeatureIndex, held_out: Float[Tensor, "M F"]) -> FeatureIndex:
    """The index with what p-values rest on: how unlike the training set held-out images are.

    Args:
        index: Features of the training images.
        held_out: Features of images of the same source that were neither trained on nor are
            near-duplicates of such: the validation split, not the images that are to be judged.
            The smallest p-value is 1/(M + 1): below 0.05 from 20 images on.

    Raises:
        ConfigError: no images, features of another size, or that are not finite.
    """
    if not len(held_out):
        raise ConfigError("There are no held-out images, without which there is no p-value.")
    return replace(index, held_out=unlikeness(index, held_out).sort().values)


def p_values(index: FeatureIndex, features: Float[Tensor, "B F"]) -> Float[Tensor, "B"]:
    """The p-value of each image for having come from where the held-out images came from.

    (1 + number of held-out images at least as unlike the training set) / (1 + M). Ties count as at
    least as unlike, so that nothing is drawn by chance and a p-value is at most too large. For one
    image of that source P(p ≤ a) ≤ a, with equality at multiples of 1/(M + 1) where there are no
    ties, for any network, features and distribution. The p-values of several images rest on the
    same M numbers: each is uniform, but together they stray from uniformity by about 1/√M.

    Args:
        index: Index from `calibrated`.
        features: Features of the images in question, at the layer of the index.

    Raises:
        ConfigError: an index that is not calibrated, features of another size, or that are not
            finite.

    Source: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005), section 2.2,
    with a training set apart as in section 4.1; several images: Bates et al., Testing for Outliers
    with Conformal p-values (2023), section 2.

    Example:
        >>> index = FeatureIndex(torch.eye(2).half(), ("a", "b"), ("0", "1"), "")
        >>> index = calibrated(index, torch.tensor([[1.0, 1.0], [2.0, 0.0], [1.0, -1.0]]))
        >>> p_values(index, torch.tensor([[1.0, 0.9], [-1.0, 0.0]])).tolist()
        [0.75, 0.25]
    """
    num_held_out = len(index.held_out)
    if not num_held_out:
        raise ConfigError("The index is not calibrated; give `calibrated` the held-out images.")
    scores = unlikeness(index, features)
    at_least = num_held_out - torch.searchsorted(index.held_out, scores)
    return (1 + at_least.double()) / (1 + num_held_out)
