"""The findings of an inspection of a set of images, as one value.

Suspected labels come from the training and validation images alone. Test images are compared with
the others by their pixels, and their labels take no part unless the test split was opened for it.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from striate.data.duplicate_check import SMALLEST, check_duplicates
from striate.data.field import FIELDS, Finding, Value
from striate.data.field.value import why_values
from striate.data.near_duplicates import find_pairs
from striate.data.source import Progress, Source
from striate.data.split import assign, reasons_by_class, uneven_notes
from striate.errors import DataError
from striate.inspection.feature import features
from striate.inspection.fold import OutOfFold, out_of_fold
from striate.inspection.group import Group, duplicate_groups
from striate.inspection.label_error import Suspects, suspects
from striate.inspection.outlier import outliers
from striate.inspection.scan import Scan, scan

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
    scan: Scan
    splits: tuple[str, ...]
    """Split of each item of `scan`: train, validation or test."""
    test_origin: str
    opened: bool
    """Whether the test split was opened, so that its labels take part."""
    groups: tuple[Group, ...]
    """Groups of copies and near duplicates: leaks first, then conflicts of labels, then others."""
    threshold: float
    """Agreement of details that near duplicates must have in this set."""
    notes: tuple[str, ...]
    fields: tuple[Finding, ...] = ()
    """Findings about what the items hold beside their images."""
    labels: OutOfFold | None = None
    learned: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """(M,) items that labels were learned from."""
    suspects: Suspects | None = None
    """Suspected labels, with indices into the items of `scan`."""
    outliers: tuple[tuple[int, float], ...] = ()
    """Items with their distances from their class, as multiples of the median distance."""

    @property
    def constant(self) -> list[int]:
        """Items that show next to nothing."""
        return np.flatnonzero(self.scan.spread < _CONSTANT).tolist()

    def count(self, relation: str) -> int:
        """Number of groups of one relation."""
        return sum(group.relation == relation for group in self.groups)

    @property
    def num_leaking(self) -> int:
        """Number of test images with copies outside the test split."""
        leaks = (group.members for group in self.groups if group.relation == "leak")
        return sum(self.splits[i] == "test" for members in leaks for i in members)

    def counts_per_class(self) -> dict[str, list[int]]:
        """Readable images of each class, split by split; of all where there are no classes."""
        labels = [item.label if self.class_names else 0 for item in self.scan.items]
        counts = Counter(zip(self.splits, labels, strict=True))
        return {
            split: [counts[split, label] for label in range(max(1, len(self.class_names)))]
            for split in ("train", "validation", "test")
        }


def inspect(
    source: Source,
    *,
    flips: bool = False,
    opened: bool = False,
    labels: bool = True,
    groups: str | None = None,
    progress: Progress | None = None,
) -> Findings:
    """Scan every image of a source, compare them, and search for wrong labels.

    Args:
        source: Source of the images.
        flips: Whether mirrored and turned copies may be cut, too.
        opened: Whether test labels take part; the caller has written the opening into the ledger.
        labels: Whether to search for suspected labels and outliers, the most expensive part.
        groups: Pattern of the group in an item's name, as for a training.
        progress: Receives what is done, how much, and of how much.

    Raises:
        DataError: Nothing can be read.
    """
    images = scan(source, progress)
    pictures = (images.items, images.digests, images.sides, images.thumbnails)
    check = check_duplicates(*pictures, groups, progress, images.rows)
    classes = () if why_values(source) else source.class_names
    splits, origin, notes = _splits(source, images, check.groups, classes)
    usable = [opened or split != "test" for split in splits]
    duplicates, threshold = _duplicates(images, splits, usable, flips, progress)
    known = [item for item, may_use in zip(images.items, usable, strict=True) if may_use]
    findings = Findings(
        title=source.title,
        source=source.origin,
        licence=source.licence,
        class_names=classes,
        scan=images,
        splits=splits,
        test_origin=origin,
        opened=opened,
        groups=duplicates,
        threshold=threshold,
        notes=(*source.remarks, *source.notes, *check.notes(), *notes),
        fields=tuple(
            finding for kind in FIELDS.values() for finding in kind.inspect(source, known)
        ),
    )
    return _learn(findings, usable, progress) if labels and classes else findings


def _splits(
    source: Source, images: Scan, groups: Sequence[str], classes: tuple[str, ...]
) -> tuple[tuple[str, ...], str, list[str]]:
    """The split of each item as a training would have it."""
    declared = [item.split for item in images.items]
    try:
        strata: Sequence[int] = [item.label for item in images.items]
        if why_values(source):
            field = Value.of(source, "value")
            strata = field.strata(field.column([field.read(item) for item in images.items]))[0]
        assignment = assign(
            images.digests,
            strata,
            declared,
            classes,
            test_fraction=0.2,
            validation_fraction=None,
            seed=0,
            groups=groups,
            broken=reasons_by_class(source, {file.name: file.reason for file in images.broken}),
        )
    except DataError as error:
        note = f"It cannot be trained on as it is: {error}"
        return tuple(split or "train" for split in declared), "none", [note]
    pairs = zip(images.items, assignment.splits, strict=True)
    counts = Counter(item.label for item, split in pairs if split == "train")
    uneven = uneven_notes([counts[k] for k in range(len(classes))], classes)
    return assignment.splits, assignment.test_origin, [*assignment.notes, *uneven]


def _duplicates(
    images: Scan,
    splits: Sequence[str],
    usable: Sequence[bool],
    flips: bool,
    progress: Progress | None,
) -> tuple[tuple[Group, ...], float]:
    first: dict[str, int] = {}
    for i, digest in enumerate(images.digests):
        first.setdefault(digest, i)
    # By content, so that the pairs do not depend on names.
    unique = [i for _, i in sorted(first.items()) if images.sides[i] >= SMALLEST]
    pairs = find_pairs(images.thumbnails, rows=images.rows[unique], flips=flips, progress=progress)
    columns = (pairs.first, pairs.second, pairs.turned, pairs.agreement)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    near = [(unique[a], unique[b], flipped, agreement) for a, b, flipped, agreement in rows]
    exact = [(first[digest], i) for i, digest in enumerate(images.digests) if first[digest] != i]
    known = zip(images.items, usable, strict=True)
    labels = [item.label if may_use else None for item, may_use in known]
    return duplicate_groups(exact, near, splits, labels), pairs.threshold


def _learn(findings: Findings, usable: Sequence[bool], progress: Progress | None) -> Findings:
    """Add suspected labels and outliers, for classes of enough images."""
    images, num_classes = findings.scan, len(findings.class_names)
    known = np.flatnonzero(np.array(usable) & (images.spread >= _CONSTANT))
    labels = np.array([images.items[i].label for i in known], dtype=np.int64)
    enough = np.bincount(labels, minlength=num_classes) >= _LEAST_IN_CLASS
    known, labels = known[enough[labels]], labels[enough[labels]]
    if enough.sum() < 2:
        note = "Labels were not checked: that needs two classes of five images."
        return replace(findings, learned=known, notes=(*findings.notes, note))
    few = int((~enough).sum())
    note = f"The labels of {few} class(es) with fewer than five images were not checked."
    folds = _folds(images, known, findings.groups)
    described = features(images.thumbnails, images.grey, images.rows[known], progress=progress)
    predictions = out_of_fold(described.kernel, labels, folds, num_classes)
    suspected = suspects(predictions.probabilities, labels)
    return replace(
        findings,
        labels=predictions,
        learned=known,
        suspects=suspected._replace(items=known[suspected.items]),
        outliers=tuple((int(known[i]), far) for i, far in outliers(described.components, labels)),
        notes=(*findings.notes, note) if few else findings.notes,
    )


def _folds(images: Scan, known: np.ndarray, duplicates: Sequence[Group]) -> np.ndarray:
    """The fold of each image, copies in one, by the content of those that are learned from."""
    used = set(known.tolist())
    name = dict(enumerate(images.digests))
    for group in duplicates:
        members = [i for i in group.members if i in used]
        name |= {i: min(images.digests[k] for k in members) for i in members}
    drawn = [hashlib.blake2b(name[i].encode(), digest_size=8).digest() for i in known.tolist()]
    return np.array([int.from_bytes(each) % _FOLDS for each in drawn], dtype=np.int64)
