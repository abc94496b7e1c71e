"""Splits follow content: seeded, stratified, copies on one side, nothing silently replaced."""

import random
from collections import Counter

import pytest

from striate.data.split import assign
from striate.errors import DataError


def split_of(digests, labels, declared=None, names=("a", "b", "c"), seed=0, test=0.2, val=0.1):
    return assign(
        digests,
        labels,
        declared or [None] * len(digests),
        names,
        test_fraction=test,
        validation_fraction=val,
        seed=seed,
    )


DIGESTS = [f"{n:04x}" for n in range(371)]
LABELS = [0] * 200 + [1] * 130 + [2] * 41


def test_shares_are_held_in_each_class() -> None:
    found = split_of(DIGESTS, LABELS)
    counted = Counter(zip(LABELS, found.splits, strict=True))
    for label, count in enumerate((200, 130, 41)):
        assert counted[label, "test"] == round(0.2 * count)
        assert counted[label, "validation"] == round(0.1 * (count - counted[label, "test"]))
    assert found.test_origin == found.validation_origin == "held out"
    assert found.notes == ()


def test_order_does_not_matter_and_the_seed_does() -> None:
    order = list(range(len(DIGESTS)))
    random.Random(3).shuffle(order)
    found = dict(zip(DIGESTS, split_of(DIGESTS, LABELS).splits, strict=True))
    shuffled = split_of([DIGESTS[i] for i in order], [LABELS[i] for i in order]).splits
    assert {DIGESTS[i]: split for i, split in zip(order, shuffled, strict=True)} == found
    other = dict(zip(DIGESTS, split_of(DIGESTS, LABELS, seed=1).splits, strict=True))
    assert sum(found[d] != other[d] for d in DIGESTS) > 60


def test_one_more_image_moves_hardly_any_other() -> None:
    before = dict(zip(DIGESTS, split_of(DIGESTS, LABELS).splits, strict=True))
    after = dict(
        zip([*DIGESTS, "new"], split_of([*DIGESTS, "new"], [*LABELS, 1]).splits, strict=True)
    )
    assert sum(before[d] != after[d] for d in DIGESTS) <= 3


def test_copies_stay_together() -> None:
    draw = random.Random(5)
    digests = [f"{draw.randrange(150):04x}" for _ in range(900)]
    labels = [int(digest, 16) % 3 for digest in digests]
    found = split_of(digests, labels)
    sides: dict[str, set[str]] = {}
    for digest, split in zip(digests, found.splits, strict=True):
        sides.setdefault(digest, set()).add(split)
    assert all(len(side) == 1 for side in sides.values())
    # The twin that forgets the groups divides some of them.
    careless = split_of([f"{d}-{n}" for n, d in enumerate(digests)], labels).splits
    assert len(set(zip(digests, careless, strict=True))) > len(sides)


def test_conflicting_labels_are_noted_and_kept_together() -> None:
    digests = [*DIGESTS, DIGESTS[0], DIGESTS[150]]
    found = split_of(digests, [*LABELS, 1, 2], test=0.01)
    assert found.splits[0] == found.splits[-2]
    assert found.splits[150] == found.splits[-1]
    assert any("under more than one class" in note for note in found.notes)


def test_named_splits_are_taken_as_they_are() -> None:
    declared = ["test" if n % 5 == 0 else "train" for n in range(len(DIGESTS))]
    found = split_of(DIGESTS, LABELS, declared)
    assert [s == "test" for s in found.splits] == [d == "test" for d in declared]
    assert (found.test_origin, found.validation_origin) == ("official", "held out")
    declared = ["validation" if n % 7 == 0 else "train" for n in range(len(DIGESTS))]
    found = split_of(DIGESTS, LABELS, declared)
    assert [s == "validation" for s in found.splits] == [d == "validation" for d in declared]
    assert (found.test_origin, found.validation_origin) == ("held out", "official")


def test_copies_across_named_splits_are_counted() -> None:
    declared = ["test" if n % 5 == 0 else "train" for n in range(len(DIGESTS))]
    digests = list(DIGESTS)
    digests[5], digests[10], digests[15] = digests[6], digests[11], digests[6]
    found = split_of(digests, LABELS, declared)
    assert found.notes[-1].startswith("2 picture(s) of the test split also occur")


def test_a_tiny_class_is_trained_on_and_the_rest_noted() -> None:
    found = split_of(DIGESTS[:22], [0] * 10 + [1] * 11 + [2])
    assert found.splits[-1] == "train"
    notes = [f"Too few images of c to have any in the {of} split." for of in ("test", "validation")]
    assert found.notes == (*notes,)
    assert found.validation_notes == (notes[1],)


@pytest.mark.parametrize("each", [1, 2])
def test_too_few_images_are_refused(each: int) -> None:
    with pytest.raises(DataError, match="at least three different images") as caught:
        split_of(DIGESTS[: 3 * each], [0, 1, 2] * each)
    assert str(caught.value).count("No image is left") == 1


def test_copies_of_one_picture_are_one_image() -> None:
    with pytest.raises(DataError, match="at least three different images"):
        split_of(["x"] * 9 + ["y"] * 9, [0] * 9 + [1] * 9, names=("a", "b"))


def test_a_class_without_training_images_is_named() -> None:
    declared = ["test" if label == 1 else "train" for label in LABELS]
    with pytest.raises(DataError, match="'b' has no readable image to train on"):
        split_of(DIGESTS, LABELS, declared)


def test_three_images_a_class_are_enough() -> None:
    found = split_of(DIGESTS[:9], [0, 1, 2] * 3)
    assert Counter(found.splits) == {"train": 3, "validation": 3, "test": 3}


@pytest.mark.parametrize(
    ("num", "held"),
    [
        (30, 3),
        (1_000, 100),
        (25_000, 2_500),
        (25_010, 2_500),
        (60_000, 2_500),
        pytest.param(260_000, 2_600, marks=pytest.mark.slow),
    ],
)
def test_of_many_images_fewer_are_held_out_for_validation(num, held):
    digests = [f"{n:06x}" for n in range(num)]
    labels = [n % 10 for n in range(num)] if num > 30 else [0] * num
    declared = ["train"] * num + ["test"]
    splits = split_of(
        [*digests, "t"], [*labels, 0], declared, list("abcdefghij")[: max(labels) + 1], val=None
    ).splits
    counted = Counter(zip([*labels, 0], splits, strict=True))
    assert splits.count("validation") == held
    assert {counted[label, "validation"] for label in labels} == {held // len(set(labels))}


def test_a_share_that_was_asked_for_holds_however_many_images_there_are():
    num = 40_000
    splits = split_of(
        [f"{n:06x}" for n in range(num)], [0] * num, ["train"] * num, ("a",), val=0.25
    )
    assert splits.splits.count("validation") == 0.25 * 0.8 * num


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    "sizes", [(1000, 30, 30), (500, 60, 50, 40, 30), (300, 290, 280), (100,) * 5 + (3,)]
)
def test_a_large_group_does_not_take_a_class_from_the_training(
    sizes: tuple[int, ...], seed: int
) -> None:
    digests = [f"{group}-{n}" for group, size in enumerate(sizes) for n in range(size)]
    groups = [digest.partition("-")[0] for digest in digests]
    others = [f"other {n}" for n in range(100)]
    found = assign(
        [*digests, *others],
        [0] * len(digests) + [1] * len(others),
        [None] * (len(digests) + len(others)),
        ("a", "b"),
        test_fraction=0.2,
        validation_fraction=0.1,
        seed=seed,
        groups=[*groups, *others],
    )
    tested = sum(split == "test" for split in found.splits[: len(digests)])
    smallest, wanted = min(sizes), 0.2 * len(digests)
    assert smallest <= tested <= max(2 * wanted, sorted(sizes)[1])
    counted = Counter(found.splits[: len(digests)])
    assert counted["train"] >= smallest
    if len(sizes) == 6:  # the small one alone would tell nothing
        assert counted["validation"] >= 100
