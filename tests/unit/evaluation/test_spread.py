"""The spread between seeds and the corrected interval: by hand, and by simulation."""

import numpy as np
import pytest
from scipy import stats

from striate.errors import DataError
from striate.evaluation import corrected_resampled, seed_spread


def test_corrected_interval_by_hand():
    # s² = 0.00065, so t(0.975; 4) = 2.7764 times sqrt((1/5 + 1/4) · 0.00065) = 0.017103
    found = corrected_resampled([0.10, 0.14, 0.09, 0.12, 0.15], 80, 20)
    assert found.value == pytest.approx(0.12)
    assert found.high - found.value == pytest.approx(2.776445 * 0.0171026, rel=1e-4)
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_corrected_interval_covers_where_the_naive_one_does_not():
    # The fold errors of Nadeau and Bengio's model: correlated by n_test / (n_test + n_train).
    draw = np.random.default_rng(0)
    num, trials, correlation = 10, 2000, 0.1
    corrected = naive = 0
    for _ in range(trials):
        common = draw.normal() * np.sqrt(correlation)
        errors = 0.3 + 0.01 * (common + draw.normal(size=num) * np.sqrt(1 - correlation))
        found = corrected_resampled(errors.tolist(), 90, 10)
        corrected += found.low <= 0.3 <= found.high
        reach = stats.t.ppf(0.975, num - 1) * errors.std(ddof=1) / np.sqrt(num)
        naive += abs(errors.mean() - 0.3) <= reach
    assert 0.93 < corrected / trials < 0.97
    assert naive / trials < 0.87


def test_deviation_and_seed_interval_are_the_textbook_ones():
    wrong = np.random.default_rng(1).random((4, 137)) < 0.21
    found = seed_spread(wrong)
    errors = wrong.mean(axis=1)
    assert found.deviation.value == pytest.approx(errors.std(ddof=1))
    reach = stats.t.interval(0.95, 3, errors.mean(), stats.sem(errors))
    assert (found.seeds.low, found.seeds.high) == pytest.approx(reach)
    ends = np.sqrt(3 * errors.var(ddof=1) / stats.chi2.ppf([0.975, 0.025], 3))
    assert (found.deviation.low, found.deviation.high) == pytest.approx(tuple(ends))


def test_seeds_that_agree_have_no_spread_but_the_images_do():
    wrong = np.tile(np.arange(60) < 9, (3, 1))
    found = seed_spread(wrong)
    assert (found.deviation.value, found.own_deviation) == (0, 0)
    assert 0.07 < found.images.low < 0.10
    assert 0.24 < found.images.high < 0.28
    none = seed_spread(np.zeros((3, 60)))
    assert none.images.low == 0
    assert 0.04 < none.images.high < 0.08


@pytest.mark.parametrize("own", [0.0, 0.5])
def test_the_interval_over_seeds_and_images_covers(own):
    # On the logit scale: a difficulty of each image, a fortune of each training, independent draws.
    draw = np.random.default_rng(7)
    big = draw.normal(-1, 1.2, 200_000)
    fortunes = draw.normal(0, own, 200_000)
    truth = float((1 / (1 + np.exp(-big - fortunes))).mean())
    hits = 0
    for _ in range(600):
        level = draw.normal(-1, 1.2, 150)[None] + draw.normal(0, own, 5)[:, None]
        found = seed_spread(draw.random((5, 150)) < 1 / (1 + np.exp(-level)))
        hits += found.both.low <= truth <= found.both.high
    assert 0.92 < hits / 600 < 0.985


def test_too_little_is_refused():
    with pytest.raises(DataError, match=r"needs two of them"):
        seed_spread(np.zeros((1, 5)))
    with pytest.raises(DataError, match=r"two errors or more"):
        corrected_resampled([0.1], 80, 20)


def test_trainings_that_err_alike_say_nothing_of_their_spread():
    table = np.zeros((3, 90), bool)
    table[0, 0], table[1, 5], table[2, 7] = True, True, True
    spread = seed_spread(table)
    assert spread.deviation.value == 0
    for estimate in (spread.deviation, spread.seeds):
        assert estimate.low is None
        assert estimate.high is None
    assert spread.images.low < 1 / 90 < spread.images.high
