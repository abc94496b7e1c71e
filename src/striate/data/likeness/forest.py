"""Which vectors lie close together, without comparing all with all.

Random projection trees (Dasgupta and Freund 2008, "Random projection trees and low dimensional
manifolds"): the vectors are halved again and again at the median of a random direction, and only
those that end in one leaf are compared. A close pair that one tree parts meets in another. The
cost grows as N log N.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

__all__ = ["Neighbours", "close_pairs"]

_LEAF = 192


class Neighbours(NamedTuple):
    """Pairs of owners, each once, the most alike first."""

    first: np.ndarray
    second: np.ndarray
    similarity: np.ndarray
    """The largest inner product that was met between vectors of the two."""


def close_pairs(
    vectors: Float[np.ndarray, "V D"],
    owners: Int[np.ndarray, "V"],
    asking: Bool[np.ndarray, "V"],
    *,
    least: float,
    trees: int,
    each: int,
    seed: int = 0,
) -> Neighbours:
    """Pairs of owners of which some vectors have a large inner product.

    Args:
        vectors: unit vectors, or zeros, which pair with nothing.
        owners: whose each vector is. Vectors of one owner are not compared.
        asking: which vectors look for neighbours; two that do not ask are not compared.
        least: the smallest inner product that counts.
        trees: how often the vectors are divided anew.
        each: how many neighbours of an asking vector are kept in a tree.
        seed: of the random directions.
    """
    draw = np.random.default_rng(seed)
    useful = np.flatnonzero(np.abs(vectors).max(1, initial=0) > 0)
    span = int(owners.max(initial=0)) + 1
    codes, values = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    if len(useful) > 1:
        vectors, owners, asking = vectors[useful], owners[useful].astype(np.int64), asking[useful]
        for _ in range(trees):
            for leaf in _leaves(vectors, draw):
                code, value = _compare(vectors, owners, leaf[asking[leaf]], leaf, least, each)
                codes.append(code[:, 0] * span + code[:, 1])
                values.append(value)
    code, similarity = np.concatenate(codes), np.concatenate(values)
    # Of each pair the most alike meeting: sorted by pair, then by likeness.
    order = np.lexsort((-similarity, code))
    code, similarity = code[order], similarity[order]
    new = np.ones(len(code), bool)
    new[1:] = code[1:] != code[:-1]
    code, similarity = code[new], similarity[new]
    order = np.lexsort((code, -similarity))
    code, similarity = code[order], similarity[order]
    return Neighbours(code // span, code % span, similarity)


def _leaves(vectors: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """(leaves, size): the vectors that end together; a few stand in twice to fill all leaves."""
    num = len(vectors)
    levels = max(0, int(np.ceil(np.log2(num / _LEAF))))
    size = -(-num // 2**levels)
    order = np.concatenate([draw.permutation(num), draw.integers(0, num, size * 2**levels - num)])
    order = order[None, :]
    for level in range(levels):
        # A direction is the difference of two pictures: it lies where pictures differ.
        one, other = draw.integers(0, num, 2)
        along = vectors @ (vectors[one] - vectors[other])
        half = size * 2 ** (levels - level - 1)
        within = np.argpartition(along[order], half, axis=1)
        order = np.take_along_axis(order, within, 1).reshape(-1, half)
    return order


def _compare(
    vectors: np.ndarray,
    owners: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    least: float,
    each: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of owners (P, 2), the smaller first, and their inner products."""
    products = vectors[rows] @ vectors[columns].T
    products[owners[rows][:, None] == owners[columns]] = -1
    if products.shape[1] > each:
        best = np.argpartition(-products, each, axis=1)[:, :each]
        products = np.take_along_axis(products, best, 1)
    else:
        best = np.broadcast_to(np.arange(len(columns)), products.shape)
    row, place = np.nonzero(products >= least)
    pair = np.stack([owners[rows[row]], owners[columns[best[row, place]]]], 1)
    return np.sort(pair, axis=1), products[row, place]
