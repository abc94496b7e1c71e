"""Find vectors that lie close together, without comparing all with all.

Random projection trees (Dasgupta and Freund 2008, "Random projection trees and low dimensional
manifolds"): the vectors are halved again and again at the median of a random direction, and only
those that end in one leaf are compared. A close pair that one tree parts meets in another. The
cost grows as N log N.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

_LEAF = 192
_AT_ONCE = 4 * 2**20  # products


class Neighbours(NamedTuple):
    """Pairs of owners, each once, the most similar first."""

    first: np.ndarray
    second: np.ndarray
    similarity: np.ndarray
    """The largest inner product that was met between vectors of the two."""


def close_pairs(
    vectors: Float[np.ndarray, "V D"],
    owners: Int[np.ndarray, "V"],
    queries: Bool[np.ndarray, "V"],
    *,
    least: float,
    trees: int,
    each: int,
    seed: int = 0,
) -> Neighbours:
    """Find pairs of owners of which some vectors have a large inner product.

    Args:
        vectors: Unit vectors, or zeros, which pair with nothing.
        owners: Owner of each vector. Vectors of one owner are not compared.
        queries: Vectors whose neighbours are sought; of two compared, one must be a query.
        least: Smallest inner product that counts.
        trees: Number of trees.
        each: Number of neighbours of a query that are kept in each tree.
        seed: Random seed of the directions.
    """
    draw = np.random.default_rng(seed)
    useful = np.flatnonzero(vectors.any(axis=1))
    span = int(owners.max(initial=0)) + 1
    codes, values = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    if len(useful) > 1:
        if len(useful) < len(vectors):  # of a large set the copy would be the most that is held
            vectors, owners, queries = vectors[useful], owners[useful], queries[useful]
        for _ in range(trees):
            leaves = _leaves(vectors, draw)
            for pair, value in _near_pairs(vectors, owners, queries, leaves, least, each):
                pair = np.sort(pair, axis=1)
                codes.append(pair[:, 0] * span + pair[:, 1])
                values.append(value)
    code, similarity = np.concatenate(codes), np.concatenate(values)
    order = np.lexsort((code, -similarity))
    # Of each pair the first, which has its largest product.
    kept = order[np.sort(np.unique(code[order], return_index=True)[1])]
    return Neighbours(code[kept] // span, code[kept] % span, similarity[kept])


def _leaves(vectors: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """(leaves, size): the vectors that end together; a few stand in twice to fill all leaves."""
    num = len(vectors)
    levels = max(0, int(np.ceil(np.log2(num / _LEAF))))
    size = -(-num // 2**levels)
    order = np.concatenate([draw.permutation(num), draw.integers(0, num, size * 2**levels - num)])
    order = order[None, :]
    # A direction is the difference of two pictures: it lies where pictures differ.
    one, other = draw.integers(0, num, (levels, 2)).T
    along = (vectors[one] - vectors[other]) @ vectors.T
    for level in range(levels):
        half = size * 2 ** (levels - level - 1)
        within = np.argpartition(along[level][order], half, axis=1)
        order = np.take_along_axis(order, within, 1).reshape(-1, half)
    return order


def _near_pairs(
    vectors: np.ndarray,
    owners: np.ndarray,
    queries: np.ndarray,
    leaves: np.ndarray,
    least: float,
    each: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Owners (P, 2) of queries and their nearest in their leaves, with inner products (P,).

    Leaves are of one size; many at once cost a fraction of one after another.
    """
    held, whose = torch.from_numpy(vectors), torch.from_numpy(owners.astype(np.int32))
    is_query = torch.from_numpy(queries)
    # In each leaf the queries come first; the leaf with most of them says how many are compared.
    order = np.argsort(~queries[leaves], axis=1, kind="stable")
    leaves = np.take_along_axis(leaves, order, 1)
    most = int(queries[leaves].sum(1).max())
    if most == 0:
        return
    for some in np.array_split(leaves, -(-leaves.size * most // _AT_ONCE)):
        columns = torch.from_numpy(some)
        rows = columns[:, :most]
        met = held.index_select(0, columns.flatten()).view(*some.shape, -1)
        products = torch.bmm(met[:, :most], met.transpose(1, 2))
        own, theirs = whose[rows], whose[columns]
        products.masked_fill_(own[:, :, None] == theirs[:, None, :], -1.0)
        # Most have nothing near: the expensive search for the nearest is for those that have.
        leaf, position = ((products.amax(2) >= least) & is_query[rows]).nonzero(as_tuple=True)
        value, near = products[leaf, position].topk(min(each, len(some[0])), dim=1, sorted=False)
        one = own[leaf, position][:, None].expand_as(near)
        pair = torch.stack([one, theirs[leaf[:, None], near]], 2)
        close = value >= least
        yield pair[close].numpy().astype(np.int64), value[close].numpy()
