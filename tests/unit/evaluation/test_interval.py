import numpy as np
import pytest
import torch

from striate.errors import DataError
from striate.evaluation import Estimate, Proportion, wilson
from striate.evaluation.bootstrap import resampled
from striate.evaluation.interval import clopper_pearson


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
def test_no_item_and_every_item_end_exactly_at_zero_and_one(interval):
    nothing, everything = interval(0, 17), interval(17, 17)
    assert (nothing.low, everything.high) == (0.0, 1.0)
    assert 0 < nothing.high < 0.25
    assert nothing.high == pytest.approx(1 - everything.low, rel=1e-12)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
@pytest.mark.parametrize(("count", "n"), [(0, 0), (5, 3), (-1, 3)])
def test_counts_that_are_no_share_are_refused(interval, count, n):
    with pytest.raises(DataError, match="is no share"):
        interval(count, n)


def test_confidence_in_percent_is_refused():
    with pytest.raises(DataError, match="between 0 and 1"):
        wilson(1, 3, confidence=95.0)


def test_a_share_survives_json():
    share = wilson(3, 11)
    assert Proportion.from_json(share.to_json()) == share
    assert share.to_json()["value"] == 3 / 11
    estimate = Estimate(0.3)
    assert Estimate.from_json(estimate.to_json()) == estimate


def test_the_bootstrap_follows_its_generator():
    values = np.random.default_rng(3).gamma(2.0, size=37)

    def interval(seed):
        chance = torch.Generator().manual_seed(seed)
        return resampled(lambda i: float(values[i].mean()), 37, generator=chance, resamples=50)

    np.testing.assert_array_equal(interval(1), interval(1))
    assert (interval(1) != interval(2)).any()


def test_strata_keep_their_sizes_and_their_items():
    strata = np.array(["b", "a", "b", "c", "b", "a", "b"])
    seen = []

    def collect(items):
        seen.append(sorted(strata[items].tolist()))
        return 0.0

    chance = torch.Generator().manual_seed(0)
    resampled(collect, 7, generator=chance, strata=strata, resamples=40)
    assert all(groups == sorted(strata.tolist()) for groups in seen)


def test_a_bootstrap_of_nothing_is_refused():
    with pytest.raises(DataError, match="resamples=0"):
        resampled(lambda i: 0.0, 3, generator=torch.Generator(), resamples=0)
