"""Metrics against scipy, scikit-learn and torchmetrics; intervals against their promise."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, chi2

from striate.evaluation import Proportion, measure, wilson
from striate.evaluation.bootstrap import percentile_interval, resampled
from striate.evaluation.classification.calibration import calibration_interval, reliability
from striate.evaluation.interval import clopper_pearson

DOUBLE = 1e-7


def predictions(n: int = 613, num_classes: int = 7, seed: int = 5):
    """Probabilities of a mediocre classifier on lopsided classes."""
    chance = np.random.default_rng(seed)
    weight = chance.dirichlet(np.full(num_classes, 4.0))
    target = chance.choice(num_classes, size=n, p=weight)
    scores = 2.1 * chance.normal(size=(n, num_classes))
    scores[np.arange(n), target] += 1.6
    p = np.exp(scores)
    return p / p.sum(axis=1, keepdims=True), target


@pytest.fixture(scope="module")
def measured():
    p, target = predictions()
    return p, target, measure(p, target, [f"class {k}" for k in range(7)])


@pytest.mark.parametrize(("ours", "method"), [(wilson, "wilson"), (clopper_pearson, "exact")])
@pytest.mark.parametrize("n", [1, 2, 9, 57, 360, 10007])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_intervals_of_shares_equal_scipy(ours, method, n, confidence):
    # What Wilson's interval becomes for a few counts is tested below.
    few = 3 if ours is wilson else 0
    for count in {0, n, *(c for c in (1, n // 7, n // 2, n - 1) if few < c < n - few)}:
        theirs = binomtest(count, n).proportion_ci(confidence, method=method)
        share = ours(count, n, confidence=confidence)
        np.testing.assert_allclose((share.low, share.high), theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("n", "few"), [(37, 2), (150, 3), (10_000, 3)])
def test_a_few_counts_have_the_end_of_the_poisson_distribution(n, few):
    for count in range(1, few + 1):
        share, mirrored = wilson(count, n), wilson(n - count, n)
        theirs = binomtest(count, n).proportion_ci(0.95, method="wilson")
        np.testing.assert_allclose(share.low, chi2.ppf(0.05, 2 * count) / 2 / n, rtol=1e-9)
        np.testing.assert_allclose(share.high, theirs.high, rtol=1e-9)
        np.testing.assert_allclose(
            (1 - mirrored.high, 1 - mirrored.low), (share.low, share.high), rtol=1e-9
        )
        assert share.low < theirs.low
    more = binomtest(few + 1, n).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(wilson(few + 1, n).low, more.low, rtol=1e-9)


def exact_coverage(interval, p: float, n: int) -> float:
    """The probability that the interval holds p: a sum over all counts, no simulation."""
    from scipy.stats import binom

    shares = [interval(count, n) for count in range(n + 1)]
    covers = np.array([share.low <= p <= share.high for share in shares])
    return float(binom.pmf(np.arange(n + 1), n, p)[covers].sum())


@pytest.mark.parametrize("n", [40, pytest.param(360, marks=pytest.mark.slow)])
def test_wilson_covers_95_percent_on_average_over_errors(n):
    # For one p the coverage of any interval from counts swings with p, since counts are whole;
    # on average over the errors that networks have it must be the nominal one.
    errors = np.linspace(0.01, 0.5, 197)
    coverage = np.array([exact_coverage(wilson, p, n) for p in errors])
    assert 0.94 < coverage.mean() < 0.965
    assert coverage.min() > 0.91


@pytest.mark.slow
@pytest.mark.parametrize("n", [36, 150])
def test_rare_mistakes_are_covered_where_wilsons_own_interval_does_not(n):
    def twin(count: int, n: int):
        theirs = binomtest(count, n).proportion_ci(0.95, method="wilson")
        return Proportion(count, n, theirs.low, theirs.high)

    errors = np.geomspace(0.001, 0.02, 60)
    assert min(exact_coverage(wilson, p, n) for p in errors) > 0.925
    assert min(exact_coverage(twin, p, n) for p in errors) < 0.9


def test_clopper_pearson_covers_at_least_95_percent_always():
    coverage = [exact_coverage(clopper_pearson, p, 60) for p in np.linspace(0.003, 0.997, 149)]
    assert min(coverage) >= 0.95


@pytest.mark.parametrize("n", [100, 360, 2000])
def test_simulated_test_sets_are_covered_in_93_to_97_of_100(n):
    # Each simulated network has an error of its own: for a single one the whole counts let the
    # coverage swing (96.4 % for an error of 2 % on 500 images).
    chance = np.random.default_rng(11)
    errors = chance.uniform(0.01, 0.5, size=4000)
    shares = [wilson(int(count), n) for count in chance.binomial(n, errors)]
    held = np.mean([s.low <= p <= s.high for s, p in zip(shares, errors, strict=True)])
    # One standard error of the simulation is 0.35 %.
    assert 0.93 < held < 0.97


@pytest.mark.parametrize("stratified", [False, True])
def test_bootstrap_covers_the_mean_in_93_to_97_of_100(stratified):
    chance = np.random.default_rng(3)
    generator = torch.Generator().manual_seed(0)
    size, groups, simulations = 120, np.arange(120) % 3, 500
    held = 0
    for _ in range(simulations):
        values = chance.normal(groups * (1.7 if stratified else 0.0))
        drawn = resampled(
            lambda items, values=values: float(values[items].mean()),
            size,
            generator=generator,
            strata=groups if stratified else None,
            resamples=200,
        )
        interval = percentile_interval(float(values.mean()), drawn, 0.95)
        held += interval.low <= (1.7 if stratified else 0.0) <= interval.high
    # One standard error of the simulation is 1 %; the seed is fixed.
    assert 0.93 <= held / simulations <= 0.97


def test_an_interval_without_its_square_root_would_not_cover():
    def twin(count: int, n: int):
        share = wilson(count, n)
        centre, half = (share.low + share.high) / 2, (share.high - share.low) / 2
        return type(share)(count, n, centre - half**1.2, centre + half**1.2)

    errors = np.linspace(0.01, 0.5, 50)
    assert np.mean([exact_coverage(twin, p, 150) for p in errors]) < 0.93


def test_confusion_precision_recall_and_f1_equal_scikit_learn(measured):
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    p, target, ours = measured
    answer = p.argmax(axis=1)
    np.testing.assert_array_equal(ours.confusion, confusion_matrix(target, answer))
    precision, recall, f1, support = precision_recall_fscore_support(target, answer)
    told = [(c.precision.value, c.recall.value, c.f1, c.support) for c in ours.classes]
    np.testing.assert_allclose(
        told, np.transpose([precision, recall, f1, support]), rtol=DOUBLE, atol=0
    )


def test_losses_and_balanced_accuracy_equal_scikit_learn(measured):
    from sklearn.metrics import balanced_accuracy_score, log_loss

    p, target, ours = measured
    nll = ours.negative_log_likelihood.value
    np.testing.assert_allclose(nll, log_loss(target, p), rtol=DOUBLE)
    expected = balanced_accuracy_score(target, p.argmax(axis=1))
    np.testing.assert_allclose(ours.balanced_accuracy.value, expected, rtol=DOUBLE)


def test_brier_score_equals_its_definition_and_scikit_learn_for_two_classes(measured):
    from sklearn.metrics import brier_score_loss

    p, target, ours = measured
    np.testing.assert_allclose(
        ours.brier_score.value, ((p - np.eye(7)[target]) ** 2).sum(axis=1).mean(), rtol=1e-12
    )
    two, truth = predictions(97, 2)
    # scikit-learn counts one of the two equal squares.
    ours_two = measure(two, truth, ["a", "b"]).brier_score.value
    np.testing.assert_allclose(ours_two, 2 * brier_score_loss(truth, two[:, 1]), rtol=DOUBLE)


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_top_k_error_equals_scikit_learn(measured, k):
    from sklearn.metrics import top_k_accuracy_score

    p, target, ours = measured
    expected = 1 - top_k_accuracy_score(target, p, k=k)
    np.testing.assert_allclose(ours.top_k_error[k].value, expected, rtol=DOUBLE)


@pytest.mark.parametrize("bins", [3, 10, 15, 40])
def test_calibration_error_equals_torchmetrics(measured, bins):
    from torchmetrics.functional.classification import multiclass_calibration_error

    p, target, _ = measured
    ours = measure(p, target, [str(k) for k in range(7)], bins=bins)
    theirs = multiclass_calibration_error(
        torch.from_numpy(p), torch.from_numpy(target), num_classes=7, n_bins=bins
    )
    # torchmetrics keeps its bin edges in single precision.
    np.testing.assert_allclose(ours.calibration_error.value, theirs.item(), rtol=1e-5)


def test_calibration_bins_are_closed_on_the_right():
    edge = np.array([0.5, 1.0, 0.2])
    bins = reliability(edge, np.array([True, True, False]), bins=2)
    assert [item.count for item in bins] == [2, 1]


def test_the_whole_equals_its_parts_merged(measured):
    p, target, ours = measured
    names = [str(k) for k in range(7)]
    halves = [measure(p[part], target[part], names) for part in (slice(0, 200), slice(200, None))]
    np.testing.assert_array_equal(
        np.add(*[np.array(half.confusion) for half in halves]), ours.confusion
    )
    merged = sum(half.negative_log_likelihood.value * half.n for half in halves) / ours.n
    np.testing.assert_allclose(merged, ours.negative_log_likelihood.value, rtol=1e-12)


def test_a_classifier_that_knows_its_doubts_is_calibrated_and_a_boaster_is_not():
    chance = np.random.default_rng(8)
    p = chance.dirichlet([0.7, 0.7, 0.7], size=20000)
    target = (p.cumsum(axis=1) < chance.random((20000, 1))).sum(axis=1)

    def error(q):
        bins = reliability(q.max(axis=1), q.argmax(axis=1) == target)
        return calibration_interval(bins).value

    boaster = p**3 / (p**3).sum(axis=1, keepdims=True)
    assert error(p) < 0.012
    assert error(boaster) > 0.1
