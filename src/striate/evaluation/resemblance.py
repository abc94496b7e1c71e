"""Test splits that hold the images of one that was opened before, divided otherwise or saved again.

The ledger knows a split by its exact content, so another share of the same images, or the same
images recompressed, are a split without openings to it. Of each opened split the digests of its
images and a few of them as thumbnails are therefore kept beside the ledger, and a later split is
compared with them once it is open.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from striate import durable
from striate.data import ImageSet
from striate.data.decode import THUMBNAIL, fit_image
from striate.data.duplicate_check import SMALLEST
from striate.data.near_duplicates import find_pairs
from striate.evaluation.ledger import ledger_path, opened

_KEPT = 256
"""Thumbnails of an opened split: 0.8 MB."""
_COMPARED = 4096
"""Images of a later split that are compared with them, which takes a second or two."""
_LEAST_SHARE = 0.1
_FEWEST = 3
"""Fewer near duplicates may be chance."""
_LATEST = 16
"""Splits that are searched for near duplicates."""


class Resemblance(NamedTuple):
    """An earlier split that holds images of this one."""

    test_digest: str
    openings: int
    """How often that split was opened."""
    share: float
    """Share of this split's images that are in it; estimated where they were saved again."""
    is_exact: bool
    """Whether they are the same pixel for pixel."""

    def sentence(self) -> str:
        """A sentence on what the openings of the earlier split mean for this one."""
        same = "" if self.is_exact else ", resized, recompressed or slightly cut,"
        return (
            f"About {self.share:.0%} of these test images{same} were in a test split that was "
            f"opened {self.openings} time(s) before (ledger {self.test_digest[:12]}). Its ledger "
            "does not count this opening, nor this one its openings: read the interval as that of "
            "one more look at the same images."
        )


class _Kept(NamedTuple):
    """What is kept of an opened split."""

    test_digest: str
    openings: int
    digests: frozenset[str]
    thumbnails: np.ndarray
    """(n, 32, 32, 3) uint8."""


def keep_images(test_digest: str, images: ImageSet) -> None:
    """Keep what a later split is compared with; where the disk has no room, nothing is kept."""
    digests, thumbnails = np.array(images.digests), _thumbnails(images, _KEPT)

    def write(stream: IO[bytes]) -> None:
        np.savez_compressed(stream, digests=digests, thumbnails=thumbnails)

    with suppress(OSError):
        durable.write_with(_path(test_digest), write)


def resembling(test_digest: str, images: ImageSet) -> list[Resemblance]:
    """Opened splits that hold at least a tenth of the images of this one, the largest share first.

    Near duplicates are sought in those of the last 16 splits that share no tenth pixel for pixel.

    Args:
        test_digest: Digest of this split, which is open.
        images: Images of this split.
    """
    own, similar, others = frozenset(images.digests), [], []
    for each in _kept(except_for=test_digest):
        share = len(own & each.digests) / len(own)
        if share >= _LEAST_SHARE:
            similar.append(Resemblance(each.test_digest, each.openings, share, True))
        else:
            others.append(each)
    others = others[:_LATEST]
    for each, share in zip(others, _shares_near(images, others), strict=True):
        if share >= _LEAST_SHARE:
            similar.append(Resemblance(each.test_digest, each.openings, share, False))
    return sorted(similar, key=lambda each: -each.share)


def _shares_near(images: ImageSet, others: Sequence[_Kept]) -> list[float]:
    """For each earlier split the estimated share of the images that are near duplicates of its."""
    mine = _thumbnails(images, _COMPARED)
    theirs = np.concatenate([each.thumbnails for each in others] or [mine[:0]])
    if not len(mine) or not len(theirs):
        return [0.0] * len(others)
    pairs = find_pairs(np.concatenate([theirs, mine]))
    across = (pairs.first < len(theirs)) & (pairs.second >= len(theirs))
    met = np.isin(np.arange(len(theirs)), pairs.first[across])
    shares, start = [], 0
    for each in others:
        size = len(each.thumbnails)
        num = int(met[start : start + size].sum())
        start += size
        share = num / max(size, 1) * len(each.digests) / len(mine)
        shares.append(min(share, 1.0) if num >= _FEWEST else 0.0)
    return shares


def _thumbnails(images: ImageSet, most: int) -> np.ndarray:
    """Thumbnails (n, 32, 32, 3) of at most so many images, whatever their order.

    There are none of images so small that similarity is no sign of a copy.
    """
    if min(images.images.shape[1:3]) < SMALLEST:
        return np.empty((0, *THUMBNAIL.shape), np.uint8)
    chosen = np.sort(np.argsort(np.array(images.digests), kind="stable")[:most])
    pixels = images.images[chosen]
    return np.stack([fit_image(p[..., 0] if p.shape[2] == 1 else p, THUMBNAIL) for p in pixels])


def _path(test_digest: str) -> Path:
    return ledger_path(test_digest).with_suffix(".images.npz")


def _kept(except_for: str) -> Iterator[_Kept]:
    """What is kept of other opened splits, the latest first; damaged files are passed over."""
    paths = ledger_path("0").parent.glob("[!.]*.images.npz")
    for path in sorted(paths, key=lambda path: -path.stat().st_mtime):
        test_digest = path.name.partition(".")[0]
        if test_digest == except_for or (openings := opened(test_digest)) == 0:
            continue
        try:
            with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as stored:
                digests, thumbnails = stored["digests"], stored["thumbnails"]
        except Exception:  # NumPy meets damaged bytes with errors of many kinds
            continue
        if thumbnails.dtype == np.uint8 and thumbnails.shape[1:] == THUMBNAIL.shape:
            yield _Kept(test_digest, openings, frozenset(digests.tolist()), thumbnails)
