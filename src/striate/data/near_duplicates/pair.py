"""Pairs of near duplicates among thumbnails: proposed by descriptors, confirmed by alignment.

What counts as one picture depends on the set. Two photographs of different things hardly agree
in their details, two pictures of the digit 1 or of one face do. So the set itself says what
agreement is ordinary in it, and only what stands far above that is called a duplicate.
"""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from striate.data.near_duplicates.alignment import Agreement, align
from striate.data.near_duplicates.descriptor import GRID, describe, grey_of, views
from striate.data.near_duplicates.forest import Neighbours, close_pairs
from striate.data.near_duplicates.position import moved, positions
from striate.data.source import Progress

# Correlation of blurred pictures below which no pair is compared; copies of photographs that are
# cut by a tenth lay above 0.9 in some view. benchmarks/planted.py measures what these limits find.
_LEAST_SIMILAR = 0.88
_TREES = 8
# Mirrored and turned copies are sought whole, so that they agree better and few trees find them: of
# 51 such pairs among the 60,000 pictures of CIFAR-10 (JPEG) all are mirror images.
_LEAST_TURNED = 0.97
_TREES_TURNED = 2
_LEAST_FINE_TURNED = 0.9
# In a set of similar pictures the disagreement that is left must be a fourth of what is ordinary:
# strokes of the digit 1 agree to 0.9946 with those that lean to the other side.
_SIMILAR_TURNED = 0.25
_EACH = 4
# Correlation of details: among 11,000 Tiny ImageNet pictures and 4,485 scenes those between 0.64
# and this were different things; 98 of 100 planted copies, shrunk to as little as a half or saved
# again at quality 40, lie above it.
_LEAST_FINE = 0.7
_LEAST_COARSE = 0.85
# Grey levels; below, the details are rounding and compression.
_LEAST_DETAIL = 0.5
_LEAST_OVERLAP = 0.7
# How far above the ordinary, in deviations of Fisher's z of the agreement of neighbours.
_DEVIATIONS = 5.0
# Beyond, rounding and exact copies would make z endless.
_SUREST = 0.99999
_SAMPLE = 256
_AMONG = 4096
_RANK = 3
_SIMILAR_SET = 0.9
_FEW = 32
_CHUNK = 8192
_PARALLEL = 4  # chunks at a time, each of some 150 MB


class Pairs(NamedTuple):
    """Near duplicates as positions among those compared, each pair once, the most certain first."""

    first: np.ndarray
    second: np.ndarray
    agreement: np.ndarray
    """Correlation of details after alignment, up to 1."""
    turned: np.ndarray
    """Whether one is mirrored or turned by quarters against the other."""
    threshold: float
    """Agreement that is required in this set."""


def find_pairs(
    thumbnails: UInt8[np.ndarray, "N S S 3"],
    *,
    rows: Int[np.ndarray, "M"] | None = None,
    flips: bool = False,
    candidates: float = 2.0,
    progress: Progress | None = None,
) -> Pairs:
    """Find near duplicates: resized, recompressed, slightly cut or brightened copies.

    Whole copies are found mirrored and turned by quarters, too.

    Args:
        thumbnails: Images of 32×32 pixels; they may lie on the disk, and are read in pieces.
        rows: Images to compare, none equal to another pixel for pixel; None: all. The result
            follows from the images and their order here.
        flips: Whether mirrored and turned copies may be cut as others may, which takes as long
            again.
        candidates: Number of pairs that are compared closely, as a multiple of the number of images
            (2,000 in any case); the most similar come first.
        progress: Receives how far the comparison is.

    Example:
        >>> draw = np.random.default_rng(0)
        >>> fields = draw.integers(0, 256, (20, 4, 4, 3), dtype=np.uint8)
        >>> pictures = fields.repeat(8, 1).repeat(8, 2)
        >>> pictures[7] = pictures[3] // 2 + 20
        >>> pairs = find_pairs(pictures)
        >>> list(zip(pairs.first.tolist(), pairs.second.tolist()))
        [(3, 7)]
    """
    rows = np.arange(len(thumbnails)) if rows is None else rows
    num = len(rows)
    if num < 2:
        none = np.zeros(0, np.int64)
        return Pairs(none, none, np.zeros(0, np.float32), np.zeros(0, bool), _LEAST_FINE)
    described = _descriptors(thumbnails, rows)
    nearest = _candidates(described, _LEAST_SIMILAR, _TREES)
    threshold, strict = _ordinary(thumbnails, rows, described[0], nearest)
    most = max(2000, int(candidates * num))
    confirmed = [_confirm(thumbnails, rows, nearest, most, threshold, strict)]
    confirmed.append(_turned(thumbnails, rows, described, most, threshold, strict, flips))
    if progress:
        progress("comparing images", num, num)
    first, second, agreement, turned = map(np.concatenate, zip(*confirmed, strict=True))
    order = np.lexsort((second, first, -agreement))
    return Pairs(first[order], second[order], agreement[order], turned[order], threshold)


def _descriptors(thumbnails: np.ndarray, rows: np.ndarray) -> Float[np.ndarray, "V M D"]:
    """Descriptors of whole images and of tighter cuts: the one large array."""

    def described(start: int) -> list[np.ndarray]:
        grey = grey_of(np.asarray(thumbnails[rows[start : start + _CHUNK]]))
        return [describe(grey), *views(grey)]

    starts = range(0, len(rows), _CHUNK)
    vectors = np.empty((0, 0, 0), np.float32)
    with ThreadPoolExecutor(min(_PARALLEL, os.cpu_count() or 1), "striate-describe") as pool:
        for start, parts in zip(starts, pool.map(described, starts), strict=True):
            if start == 0:
                vectors = np.empty((len(parts), len(rows), parts[0].shape[1]), parts[0].dtype)
            for view, part in zip(vectors, parts, strict=True):
                view[start : start + len(part)] = part
    return vectors


def _candidates(described: Float[np.ndarray, "V M D"], least: float, trees: int) -> Neighbours:
    """Whole images are compared with the other whole images and with their tighter cuts."""
    num = described.shape[1]
    vectors = described.reshape(-1, described.shape[2])
    owners = np.tile(np.arange(num), len(described))
    queries = np.arange(len(vectors)) < num
    return close_pairs(vectors, owners, queries, least=least, trees=trees, each=_EACH)


def _turned(
    thumbnails: np.ndarray,
    rows: np.ndarray,
    described: Float[np.ndarray, "V M D"],
    most: int,
    threshold: float,
    strict: bool,
    thorough: bool,
) -> list[np.ndarray]:
    """Mirrored and turned copies, as the columns of `Pairs`."""
    squares = described.reshape(*described.shape[:2], GRID, GRID)[: None if thorough else 1]
    bits = [positions(view) for view in squares]
    common = np.stack([moved(*view) for view in zip(squares, bits, strict=True)])
    common = common.reshape(*common.shape[:2], -1)
    if thorough:
        nearest = _candidates(common, _LEAST_SIMILAR, _TREES)
    else:
        nearest = _candidates(common, _LEAST_TURNED, _TREES_TURNED)
        threshold = max(threshold, _LEAST_FINE_TURNED)
        if strict:
            threshold = 1 - _SIMILAR_TURNED * (1 - threshold)
    # Pairs in one position have been compared already.
    other = bits[0][nearest.first] != bits[0][nearest.second]
    nearest = Neighbours(*(column[other] for column in nearest))
    return _confirm(thumbnails, rows, nearest, most, threshold, strict, bits[0])


def _ordinary(
    thumbnails: np.ndarray, rows: np.ndarray, plain: np.ndarray, candidates: Neighbours
) -> tuple[float, bool]:
    """The agreement that a duplicate must have, from how much mere neighbours agree, and whether
    it is measured strictly, as in a set of similar pictures: there the interpolation alone
    takes as much from the agreement of a cut copy as another photograph of one face does.
    """
    if len(plain) < _FEW:
        return _LEAST_FINE, False
    draw = np.random.default_rng(0)
    among = np.sort(draw.choice(len(plain), min(len(plain), _AMONG), replace=False))
    sample = np.sort(draw.choice(among, min(len(among), _SAMPLE), replace=False))
    products = plain[sample] @ plain[among].T
    products[sample[:, None] == among] = -2
    # Not the nearest, which may be a copy.
    near = among[np.argpartition(-products, _RANK, axis=1)[:, _RANK]]
    threshold = _above(thumbnails, rows[sample], rows[near], strict=False)
    if threshold < _SIMILAR_SET:
        return max(_LEAST_FINE, threshold), False
    threshold = _above(thumbnails, rows[sample], rows[near], strict=True)
    # In such a set the nearest of all agree better than the nearest of a few thousand,
    # and mere neighbours are so many among the candidates that copies do not weigh.
    some = np.linspace(0, len(candidates.first) - 1, _SAMPLE).astype(int)
    one, other = rows[candidates.first[some]], rows[candidates.second[some]]
    return max(threshold, _above(thumbnails, one, other, strict=True)), True


def _above(thumbnails: np.ndarray, one: np.ndarray, other: np.ndarray, *, strict: bool) -> float:
    """An agreement far above that of these pairs, as Fisher's z measures it."""
    agreed = align(np.asarray(thumbnails[one]), np.asarray(thumbnails[other]), strict=strict)
    z = np.arctanh(agreed.fine.clip(-_SUREST, _SUREST))
    lower, middle = np.quantile(z, [0.16, 0.5])
    # The spread is taken below the median: copies, up to half of the sample, do not reach there.
    return math.tanh(middle + _DEVIATIONS * (middle - lower))


def _confirm(
    thumbnails: np.ndarray,
    rows: np.ndarray,
    candidates: Neighbours,
    most: int,
    threshold: float,
    strict: bool,
    bits: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Candidates that agree, as the columns of `Pairs`; with bits, in their common position."""
    first, second = candidates.first[:most], candidates.second[:most]

    def read(items: np.ndarray) -> np.ndarray:
        images = np.asarray(thumbnails[rows[items]])
        return images if bits is None else moved(images, bits[items])

    agreement = np.full(len(first), -1.0, np.float32)
    for start in range(0, len(first), _CHUNK):
        some = slice(start, start + _CHUNK)
        agreed = align(read(first[some]), read(second[some]), strict=strict)
        agreement[some] = np.where(_is_same(agreed, threshold), agreed.fine, -1)
    kept = agreement > -1
    return [first[kept], second[kept], agreement[kept], np.full(kept.sum(), bits is not None)]


def _is_same(agreed: Agreement, threshold: float) -> np.ndarray:
    return (
        (agreed.fine >= threshold)
        & (agreed.coarse >= _LEAST_COARSE)
        & (agreed.detail >= _LEAST_DETAIL)
        & (agreed.overlap >= _LEAST_OVERLAP)
    )
