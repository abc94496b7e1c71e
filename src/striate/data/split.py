"""Which image is trained on, validated on, or sealed: decided by content.

Images with the same digest are one group, near copies belong to it, and a group is never divided.
Within a class the groups are ordered by a hash of seed and digest, and the first ones are held
out; so the split follows from the pictures alone, wherever they lie and in whatever order they
are listed.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from striate.data.field.value import are_numbers
from striate.data.source import Split
from striate.data.spelling import counted, enumerated, shown
from striate.data.stratify import Membership, are_several, each, stratify
from striate.errors import DataError

if TYPE_CHECKING:
    from striate.data.source import Source

_NEARLY_ALL = 0.9
"""Of a split's images: with so many groups, those of several images hardly matter."""
_ENOUGH = 2_500
"""Validation images that tell an error to a point or two: at 10 %, ± 1.2."""
_UNEVEN = 10
"""Images of the commonest class for each of a rare one."""


class Assignment(NamedTuple):
    """The split of each item, and what a person should know of it."""

    splits: tuple[Split, ...]
    test_origin: str
    """"official" when the source names the test split, else "held out"."""
    validation_origin: str
    notes: tuple[str, ...]
    validation_notes: tuple[str, ...]
    """The notes that do not hold where a fold replaces the validation split."""


def assign(
    digests: Sequence[str],
    labels: Sequence[Membership],
    declared: Sequence[Split | None],
    class_names: Sequence[str],
    *,
    test_fraction: float,
    validation_fraction: float | None,
    seed: int,
    groups: Sequence[str] | None = None,
    broken: Mapping[str, Sequence[tuple[str, str]]] | None = None,
) -> Assignment:
    """The split of each item, stratified by class, what belongs together on one side.

    Args:
        digests: Digests of the pictures.
        labels: Class indices, or the labels of each item, perhaps several or none.
        declared: Split that the source names for each item, None where it names none.
        class_names: Names of all classes; empty where the labels are no classes but groups of
            similar items, which are spread evenly and may be absent from a split.
        test_fraction: Share of all images that is sealed if no item is declared a test item.
        validation_fraction: Share of the rest for validation if none is declared; None: see
            `validation_share`.
        seed: Random seed of the order in which groups are held out.
        groups: Group of each item, named by one of its digests; None: copies of one picture alone
            belong together.
        broken: Name and reason of each file that gave no picture, by the name of its class.

    Raises:
        DataError: a class without an image to train on, or nothing to validate or test on.
    """
    splits: list[Split] = [split or "train" for split in declared]
    free = [i for i, split in enumerate(splits) if split == "train"]
    notes = _conflict_notes(digests, labels, splits) if class_names else []
    official = "test" in splits
    groups = digests if groups is None else groups
    if not official:
        for i in _hold_out(free, groups, labels, test_fraction, seed, "test"):
            splits[i] = "test"
        free = [i for i in free if splits[i] == "train"]
    named = "validation" in splits
    if not named:
        share = validation_share(len(free)) if validation_fraction is None else validation_fraction
        for i in _hold_out(free, groups, labels, share, seed, "validation"):
            splits[i] = "validation"
    _check(splits, labels, class_names, broken or {})
    beside = _straddle_notes(digests, splits, "validation")
    notes += _straddle_notes(digests, splits, "test")
    if not (official and named):
        beside += small_notes(splits, labels, class_names, "validation")
    if not official:
        notes += small_notes(splits, labels, class_names, "test")
    notes += _group_notes(splits, groups, "test")
    beside += _group_notes(splits, groups, "validation")
    return Assignment(
        tuple(splits),
        "official" if official else "held out",
        "official" if named else "held out",
        (*notes, *beside),
        tuple(beside),
    )


def validation_share(num_images: int) -> float:
    """The share of images for validation if nobody says: a tenth, of more than 25,000 images less.

    What 2,500 images tell of the error is enough to choose by, and every other image teaches; of
    very many a hundredth is held out.

    Args:
        num_images: Number of images outside the test split.

    Example:
        >>> [num * validation_share(num) for num in (1_000, 50_000, 1_000_000)]
        [100.0, 2500.0, 10000.0]
    """
    return min(0.1, max(0.01, _ENOUGH / max(1, num_images)))


def _hold_out(
    free: Sequence[int],
    digests: Sequence[str],
    labels: Sequence[Membership],
    fraction: float,
    seed: int,
    name: str,
) -> list[int]:
    """Items of `free` to hold out; each class keeps at least one group."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i in free:
        groups[digests[i]].append(i)
    if are_several(labels):
        drawn = [int.from_bytes(rank(seed, name, digest)) for digest in groups]
        return _hold_out_several(list(groups.values()), labels, fraction, drawn)
    of_class: dict[int, list[str]] = defaultdict(list)
    for digest, members in groups.items():
        # Copies with several labels count for the first class, so that the order does not matter.
        of_class[min(label for i in members for label in each(labels[i]))].append(digest)
    held: list[int] = []
    for digests_of_class in of_class.values():
        ordered = sorted(digests_of_class, key=lambda digest: rank(seed, name, digest))
        total = sum(len(groups[digest]) for digest in ordered)
        # At least one is held out where two remain to choose from, however small the share.
        wanted = max(round(fraction * total), 1)
        held += _fill(wanted, total, [groups[digest] for digest in ordered[:-1]])
    return held


def _fill(wanted: int, total: int, groups: Sequence[Sequence[int]]) -> list[int]:
    """About `wanted` of `total` members, of whole groups in their order.

    A group is passed over where it would overshoot by more than is lacking. If less than half is
    filled so, the smallest of those is taken too, where half of all remains, or nothing else is.
    """
    held: list[int] = []
    passed: list[Sequence[int]] = []
    for members in groups:
        lacking = wanted - len(held)
        if lacking <= 0:
            break
        if len(members) <= 2 * lacking:
            held += members
        else:
            passed.append(members)
    if passed and 2 * len(held) < wanted:
        smallest = min(passed, key=lambda members: len(members))
        if not held or 2 * (len(held) + len(smallest)) <= total:
            held += smallest
    return held


def rank(seed: int, name: str, digest: str) -> bytes:
    """Sort key of a group in an order drawn from the seed, named by one of its digests."""
    return hashlib.blake2b(f"{seed} {name} {digest}".encode(), digest_size=16).digest()


def _hold_out_several(
    groups: Sequence[Sequence[int]],
    labels: Sequence[Membership],
    fraction: float,
    drawn: Sequence[int],
) -> list[int]:
    """Items of whole groups to hold out where items have any number of labels.

    Of very few items one group at least is held out, if all of its labels remain elsewhere.
    """
    parts = stratify(groups, labels, [1 - fraction, fraction], drawn.__getitem__)
    held = [i for group, part in zip(groups, parts, strict=True) if part for i in group]
    having = Counter(label for group in groups for label in _labels_of(group, labels))
    for g in sorted(range(len(groups)), key=drawn.__getitem__):
        if not held and all(having[label] > 1 for label in _labels_of(groups[g], labels)):
            held = list(groups[g])
    return held


def _labels_of(group: Sequence[int], labels: Sequence[Membership]) -> set[int]:
    return {label for i in group for label in each(labels[i])}


def reasons_by_class(
    source: "Source", broken: Mapping[str, str]
) -> dict[str, list[tuple[str, str]]]:
    """Name and reason of each file that gave no picture, by the name of its class.

    Args:
        source: Source of the files.
        broken: Reasons by the names of the files.
    """
    by_class: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for item in source.items if broken and source.class_names else ():
        if item.name in broken:
            by_class[source.class_names[item.label]].append((item.name, broken[item.name]))
    return by_class


def _check(
    splits: Sequence[Split],
    labels: Sequence[Membership],
    class_names: Sequence[str],
    broken: Mapping[str, Sequence[tuple[str, str]]],
) -> None:
    trained = {
        label
        for of_item, split in zip(labels, splits, strict=True)
        if split == "train"
        for label in each(of_item)
    }
    problems = [
        f"The class {name!r} has no readable image to train on"
        + (f": {counted(broken[name])}." if name in broken else ".")
        for label, name in enumerate(class_names)
        if label not in trained
    ]
    lacking = [split for split in ("validation", "test") if split not in splits]
    if lacking:
        needing = "each class needs" if class_names else "there must be"
        problems.append(
            f"No image is left for the {' and the '.join(lacking)} split: {needing} at least "
            "three different images, one to train, one to validate and one to test on. "
            "Add images."
            + " If these numbers are values and no classes, add --task regression."
            * are_numbers(class_names)
        )
    if problems:
        raise DataError("\n".join(problems))


def _conflict_notes(
    digests: Sequence[str], labels: Sequence[Membership], splits: Sequence[Split]
) -> list[str]:
    """Copies of one picture under several classes, the sealed ones left out of the count."""
    classes: dict[str, set[Membership]] = defaultdict(set)
    for digest, label, split in zip(digests, labels, splits, strict=True):
        if split != "test":
            classes[digest].add(label)
    conflicts = sum(len(of_picture) > 1 for of_picture in classes.values())
    if not conflicts:
        return []
    return [f"{conflicts} picture(s) occur under more than one class: at least one label is wrong."]


def _straddle_notes(digests: Sequence[str], splits: Sequence[Split], split: Split) -> list[str]:
    """Pictures that the source itself put on both sides; they are left where they are."""
    of_split: dict[Split, set[str]] = defaultdict(set)
    for digest, of in zip(digests, splits, strict=True):
        of_split[of].add(digest)
    test = split == "test"
    known = of_split["train"] | of_split["validation"] if test else of_split["train"]
    both = len(of_split[split] & known)
    if not both:
        return []
    return [
        f"{both} picture(s) of the {split} split also occur, pixel for pixel, among the "
        f"{'training or validation' if test else 'training'} images: the {split} error will seem "
        "a little better than it is."
    ]


def _group_notes(splits: Sequence[Split], groups: Sequence[str], split: Split) -> list[str]:
    """Notes on intervals where many images belong to few groups (one patient, one film)."""
    present = [group for group, of in zip(groups, splits, strict=True) if of == split]
    num = len(set(present))
    if num > _NEARLY_ALL * len(present):
        return []
    return [
        f"The {len(present):,} {split} images come in {num:,} groups: intervals that take images "
        "for independent are too short where predictions within a group agree."
    ]


def uneven_notes(counts: Sequence[int], class_names: Sequence[str]) -> list[str]:
    """A note where some class has a tenth of the training images of another, or less.

    Args:
        counts: Number of training images of each class.
        class_names: Names of the classes.
    """
    most, least = max(counts, default=0), min(counts, default=0)
    if most < _UNEVEN * least or not least:
        return []
    common = shown(class_names[counts.index(most)])
    rare = [n for n, count in zip(class_names, counts, strict=True) if _UNEVEN * count <= most]
    return [
        f"The classes are uneven: {most:,} training images of {common}, {least:,} of the rarest; "
        f"{len(rare)} class(es) have a tenth or less: {enumerated(rare)}. A small error can hide "
        "that they are never predicted: see the balanced accuracy. To weigh all classes equally: "
        "--set loss.class_weights=balanced"
    ]


def small_notes(
    splits: Sequence[Split], labels: Sequence[Membership], class_names: Sequence[str], split: Split
) -> list[str]:
    """The classes that a split has no image of."""
    pairs = zip(labels, splits, strict=True)
    present = {label for of_item, of in pairs if of == split for label in each(of_item)}
    missing = [name for label, name in enumerate(class_names) if label not in present]
    if not missing:
        return []
    return [f"Too few images of {enumerated(missing)} to have any in the {split} split."]
