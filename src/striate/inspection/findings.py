"""Everything that is found out about a set of images, as one value.

What is said of labels comes from the training and validation images alone. Test images are
compared with the others by their pixels, and their labels take no part unless the test split was
opened for it.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from striate.data.duplicate_check import SMALLEST, check_duplicates
from striate.data.near_duplicates import find_pairs
from striate.data.source import Progress, Source
from striate.data.split import assign
from striate.errors import DataError
from striate.inspection.feature import features
from striate.inspection.fold import OutOfFold, out_of_fold
from striate.inspection.group import Group, duplicate_groups
from striate.inspection.label_error import Suspects, suspects
from striate.inspection.outlier import outliers
from striate.inspection.scan import Scan, scan

__all__ = ["Findings", "inspect"]

# Grey levels: below, a picture shows nothing that a person could name.
_CONSTANT = 2.0
_FOLDS = 5
# Fewer images a class leave nothing to learn from in four folds of five.
_LEAST_IN_CLASS = 5


@dataclass(frozen=True)
class Findings:
    """Findings about a set before anything is learned from it."""

    title: str
    source: str
    licence: str | None
    class_names: tuple[str, ...]
    seen: Scan
    splits: tuple[str, ...]
    """Of each item of `seen`: train, validation or test."""
    test_origin: str
    opened: bool
    """Whether the test split was opened, so that its labels take part."""
    groups: tuple[Group, ...]
    """Of copies and near copies: leaks first, then conflicts of labels, then the others."""
    threshold: float
    """The agreement of details that near copies must have in this set."""
    labels: OutOfFold | None
    learned: np.ndarray
    """(M,) which items labels were learned from."""
    suspects: Suspects | None
    """With indices into the items of `seen`."""
    outliers: tuple[tuple[int, float], ...]
    """(item, how many times the middle distance from its class)."""
    notes: tuple[str, ...]

    @property
    def constant(self) -> list[int]:
        """Items that show next to nothing."""
        return np.flatnonzero(self.seen.spread < _CONSTANT).tolist()

    def count(self, relation: str) -> int:
        """Groups of one relation."""
        return sum(group.relation == relation for group in self.groups)

    @property
    def num_leaking(self) -> int:
        """Test images that have their like outside the test split."""
        return sum(
            self.splits[i] == "test"
            for group in self.groups
            if group.relation == "leak"
            for i in group.members
        )

    def counts_per_class(self) -> dict[str, list[int]]:
        """Readable images of each class, split by split."""
        counted = Counter(
            (split, item.label) for split, item in zip(self.splits, self.seen.items, strict=True)
        )
        return {
            split: [counted[split, label] for label in range(len(self.class_names))]
            for split in ("train", "validation", "test")
        }


def inspect(
    source: Source,
    *,
    flips: bool = False,
    opened: bool = False,
    labels: bool = True,
    groups: str | None = None,
    split: tuple[float, float | None, int] = (0.2, None, 0),
    progress: Progress | None = None,
) -> Findings:
    """Scan every image of a source, compare them, and doubt their labels.

    Args:
        source: of images.
        flips: take mirror images for copies too.
        opened: let test labels take part; the caller has written the opening into the ledger.
        labels: look for suspected labels and outliers; the dearest part.
        groups: where names hold that of a group, as for a training.
        split: test fraction, validation fraction and seed where the source names no split, as a
            training would divide it.
        progress: told what is done, how much, and of how much.

    Raises:
        DataError: nothing can be read.
    """
    seen = scan(source, progress)
    gate = check_duplicates(
        seen.items, seen.digests, seen.sides, seen.thumbnails, groups, progress, seen.rows
    )
    splits, origin, notes = _splits(source, seen, gate.groups, split)
    alike, threshold = _alike(source, seen, splits, opened, flips, progress)
    blank = seen.spread < _CONSTANT
    known = [i for i, of in enumerate(splits) if (opened or of != "test") and not blank[i]]
    answers, chosen, said = None, np.zeros(0, np.int64), ""
    doubted: Suspects | None = None
    far: tuple[tuple[int, float], ...] = ()
    if labels:
        answers, chosen, far, said = _learn(source, seen, known, alike, progress)
    if answers is not None:
        given = np.array([seen.items[i].label for i in chosen])
        found = suspects(answers.probabilities, given)
        doubted = found._replace(items=chosen[found.items])
    return Findings(
        title=source.title,
        source=source.origin,
        licence=source.licence,
        class_names=source.class_names,
        seen=seen,
        splits=splits,
        test_origin=origin,
        opened=opened,
        groups=alike,
        threshold=threshold,
        labels=answers,
        learned=chosen,
        suspects=doubted,
        outliers=far,
        notes=(*source.notes, *notes, *([said] if said else [])),
    )


def _splits(
    source: Source, seen: Scan, groups: Sequence[str], split: tuple[float, float | None, int]
) -> tuple[tuple[str, ...], str, list[str]]:
    """The split of each item as a training would have it."""
    declared = [item.split for item in seen.items]
    try:
        found = assign(
            seen.digests,
            [item.label for item in seen.items],
            declared,
            source.class_names,
            test_fraction=split[0],
            validation_fraction=split[1],
            seed=split[2],
            groups=groups,
        )
    except DataError as error:
        told = f"It cannot be trained on as it is: {error}"
        return tuple(of or "train" for of in declared), "none", [told]
    return found.splits, found.test_origin, list(found.notes)


def _alike(
    source: Source,
    seen: Scan,
    splits: Sequence[str],
    opened: bool,
    flips: bool,
    progress: Progress | None,
) -> tuple[tuple[Group, ...], float]:
    first: dict[str, int] = {}
    for i, digest in enumerate(seen.digests):
        first.setdefault(digest, i)
    # By content, so that what is found does not depend on names.
    unique = [i for _, i in sorted(first.items()) if seen.sides[i] >= SMALLEST]
    rows = seen.rows[unique]
    pairs = find_pairs(seen.thumbnails, rows=rows, flips=flips, progress=progress)
    near = [
        (unique[a], unique[b], bool(flipped), float(agreement))
        for a, b, flipped, agreement in zip(
            pairs.first.tolist(),
            pairs.second.tolist(),
            pairs.flipped.tolist(),
            pairs.agreement.tolist(),
            strict=True,
        )
    ]
    exact = [(first[digest], i) for i, digest in enumerate(seen.digests) if first[digest] != i]
    labels = [
        item.label if opened or of != "test" else None
        for item, of in zip(seen.items, splits, strict=True)
    ]
    return duplicate_groups(exact, near, splits, labels), pairs.threshold


def _learn(
    source: Source,
    seen: Scan,
    known: Sequence[int],
    alike: Sequence[Group],
    progress: Progress | None,
) -> tuple[OutOfFold | None, np.ndarray, tuple[tuple[int, float], ...], str]:
    """Out-of-fold answers for the images whose class has enough of them, and outliers."""
    counts = Counter(seen.items[i].label for i in known)
    usable = {label for label, count in counts.items() if count >= _LEAST_IN_CLASS}
    chosen = np.array([i for i in known if seen.items[i].label in usable], dtype=np.int64)
    if len(usable) < 2:
        return None, chosen, (), "Labels were not doubted: that needs two classes of five images."
    left = len(source.class_names) - len(usable)
    said = f"The labels of {left} class(es) with fewer than five images were not doubted." * (
        left > 0
    )
    folds = _folds(seen, chosen, alike)
    labels = np.array([seen.items[i].label for i in chosen], dtype=np.int64)
    computed = features(seen.thumbnails, seen.grey, seen.rows[chosen], progress=progress)
    answers = out_of_fold(computed.kernel, labels, folds, len(source.class_names))
    far = tuple((int(chosen[i]), times) for i, times in outliers(computed.components, labels))
    return answers, chosen, far, said


def _folds(seen: Scan, chosen: np.ndarray, alike: Sequence[Group]) -> np.ndarray:
    """The fold of each image, copies in one, by the content of those that are learned from."""
    mine = set(chosen.tolist())
    name = {}
    for group in alike:
        members = [i for i in group.members if i in mine]
        for i in members:
            name[i] = min(seen.digests[k] for k in members)
    drawn = [
        hashlib.blake2b(name.get(i, seen.digests[i]).encode(), digest_size=8).digest()
        for i in chosen.tolist()
    ]
    return np.array([int.from_bytes(each) % _FOLDS for each in drawn], dtype=np.int64)
