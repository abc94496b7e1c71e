"""The mean of shares: its corners, and how often its interval holds the truth."""

import numpy as np
import pytest

from striate.errors import DataError
from striate.evaluation import wilson
from striate.evaluation.classification.macro import mean_share


@pytest.mark.parametrize(("count", "n"), [(0, 3), (1, 1), (7, 7), (13, 57), (351, 360)])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_one_group_has_the_interval_of_wilson(count, n, confidence):
    mean, share = (
        mean_share([count], [n], confidence=confidence),
        wilson(count, n, confidence=confidence),
    )
    np.testing.assert_allclose(
        (mean.value, mean.low, mean.high), (share.value, share.low, share.high), rtol=1e-12
    )


@pytest.mark.parametrize(("groups", "size"), [(3, 2), (10, 30), (5, 7)])
def test_perfect_groups_of_one_size_are_as_certain_as_all_their_items(groups, size):
    mean, share = mean_share([size] * groups, [size] * groups), wilson(groups * size, groups * size)
    assert mean.high == 1.0
    assert mean.low == pytest.approx(share.low, rel=1e-12)
    nothing = mean_share([0] * groups, [size] * groups)
    assert nothing.low == 0.0
    assert nothing.high == pytest.approx(1 - share.low, rel=1e-12)


def test_a_small_class_makes_the_mean_less_certain_than_its_items_suggest():
    lopsided, level = mean_share([190, 4], [200, 5]), mean_share([98, 92], [103, 102])
    assert lopsided.high - lopsided.low > 3 * (level.high - level.low)
    assert mean_share([200, 5], [200, 5]).low < wilson(205, 205).low


@pytest.mark.parametrize(
    ("counts", "sizes", "says"),
    [
        ([], [], "one count a group"),
        ([1], [2, 3], "one count a group"),
        ([3, 1], [2, 3], "0 <= count"),
        ([-1, 0], [2, 3], "0 <= count"),
        ([0, 0], [0, 3], "size >= 1"),
    ],
)
def test_what_is_no_share_is_refused(counts, sizes, says):
    with pytest.raises(DataError, match=says):
        mean_share(counts, sizes)


def test_confidence_in_percent_is_refused():
    with pytest.raises(DataError, match="between 0 and 1"):
        mean_share([1], [3], confidence=95.0)


SIZES = {
    "2 classes of 5": [5] * 2,
    "2 classes of 100": [100] * 2,
    "3 classes of 10": [10] * 3,
    "2 lopsided classes": [50, 5],
    "5 lopsided classes": [3, 8, 20, 60, 200],
    "10 classes of 5": [5] * 10,
    "10 classes of 300": [300] * 10,
    "20 classes of 2": [2] * 20,
    "100 classes of 3": [3] * 100,
}
NETWORKS = {
    "good": lambda chance, shape: chance.beta(9, 1, shape),
    "nearly perfect": lambda chance, shape: chance.beta(40, 1, shape),
    "mediocre": lambda chance, shape: chance.uniform(0.5, 1, shape),
    "poor": lambda chance, shape: chance.beta(1, 4, shape),
}


def coverage(interval, sizes, recalls_of, simulations: int = 1500) -> float:
    chance = np.random.default_rng(7)
    # Each simulated network has recalls of its own, as whole counts let coverage swing for one.
    recalls = recalls_of(chance, (simulations, len(sizes)))
    hits = chance.binomial(sizes, recalls)
    held = [
        estimate.low <= truth <= estimate.high
        for truth, row in zip(recalls.mean(axis=1), hits.tolist(), strict=True)
        for estimate in [interval(row, sizes)]
    ]
    return float(np.mean(held))


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("recalls_of", NETWORKS.values(), ids=NETWORKS)
def test_the_mean_recall_is_held_in_about_95_of_100(sizes, recalls_of):
    # One standard error of the simulation is 0.56 %; the seed is fixed.
    assert 0.93 < coverage(mean_share, sizes, recalls_of) < 0.97


def test_a_twin_that_adds_no_items_would_not_cover():
    def normal(hits, sizes):
        share = np.array(hits) / sizes
        half = 1.96 * (share * (1 - share) / sizes).sum() ** 0.5 / len(sizes)
        return type(mean_share([1], [2]))(share.mean(), share.mean() - half, share.mean() + half)

    assert coverage(normal, SIZES["10 classes of 5"], NETWORKS["nearly perfect"]) < 0.8
