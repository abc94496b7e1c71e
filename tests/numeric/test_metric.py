"""Estimates and comparisons of metrics against scipy, enumeration and simulation."""

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest, permutation_test
from scipy.stats import bootstrap as scipys_bootstrap

from striate.evaluation import (
    Columns,
    Estimate,
    Metric,
    Scores,
    compare,
    estimate,
    holm,
    mean_interval,
    wilson,
)
from striate.evaluation.comparison import sign_flip

ERROR = Metric.mean("error", True, lambda rows: rows["wrong"])
LOSS = Metric.mean("loss", True, lambda rows: rows["loss"])
OVERLAP = Metric("overlap", False, lambda rows: rows["hit"].sum() / rows["all"].sum())


def overlaps(n: int = 187, seed: int = 3, share: float = 0.7) -> Columns:
    """Hits of lopsided totals, as the pixels of a region are."""
    random = np.random.default_rng(seed)
    total = random.geometric(0.02, size=n)
    return Columns({"all": total, "hit": random.binomial(total, random.beta(3, 3 / share - 3, n))})


class TestEstimate:
    def test_shares_have_wilsons_interval_and_means_halls(self):
        random = np.random.default_rng(0)
        rows = Columns({"wrong": random.random(211) < 0.07, "loss": random.gamma(0.4, size=211)})
        assert estimate(ERROR, rows) == wilson(int(rows["wrong"].sum()), 211)
        assert estimate(LOSS, rows, confidence=0.9) == mean_interval(rows["loss"], confidence=0.9)

    def test_items_without_a_value_do_not_count(self):
        values = np.array([1.0, np.nan, 3.0, 8.0])
        rows = Columns({"loss": values})
        assert LOSS.value(rows) == 4.0
        assert estimate(LOSS, rows) == mean_interval(values[[0, 2, 3]])

    def test_a_ratio_of_sums_has_the_interval_that_scipy_finds(self):
        rows = overlaps()
        theirs = scipys_bootstrap(
            (rows["hit"], rows["all"]),
            lambda hit, total, axis: hit.sum(axis) / total.sum(axis),
            paired=True,
            method="percentile",
            n_resamples=6000,
            random_state=np.random.default_rng(1),
        ).confidence_interval
        ours = estimate(OVERLAP, rows, resamples=6000)
        width = theirs.high - theirs.low
        assert ours.value == rows["hit"].sum() / rows["all"].sum()
        np.testing.assert_allclose((ours.low, ours.high), theirs, atol=0.05 * width)
        # The mean of ratios, which it is not, lies elsewhere.
        assert abs((rows["hit"] / rows["all"]).mean() - ours.value) > 0.03 * width

    def test_an_interval_of_its_own_is_taken(self):
        own = Metric("x", True, lambda _: 1.0, interval=lambda _, c: Estimate(1.0, 1 - c, 1 + c))
        assert estimate(own, overlaps(), confidence=0.5) == Estimate(1.0, 0.5, 1.5)

    def test_a_metric_that_is_often_undefined_has_no_interval(self):
        rare = Metric("rare", True, lambda r: 1.0 if 0 in r["all"] else float("nan"))
        rows = Columns({"all": np.arange(9)})
        assert estimate(rare, rows) == Estimate(1.0)

    def test_seeds_and_names_are_streams_of_their_own(self):
        rows = overlaps(41)
        assert estimate(OVERLAP, rows) == estimate(OVERLAP, rows)
        assert estimate(OVERLAP, rows) != estimate(OVERLAP, rows, seed=1)

    @pytest.mark.parametrize("metric", [ERROR, LOSS, OVERLAP])
    def test_items_in_groups_are_as_uncertain_as_their_groups(self, metric):
        """30 groups of 3 to 11 items that share most of what decides them."""
        random = np.random.default_rng(7)
        sets, held, naively = 100, 0, 0
        truth = {"error": 0.3, "loss": 0.3, "overlap": 0.3}[metric.name]
        for _ in range(sets):
            groups = np.repeat(np.arange(30), random.integers(3, 12, size=30))
            level = random.beta(0.6, 1.4, size=30)[groups]
            wrong = random.random(len(groups)) < level
            rows = Columns(
                {"wrong": wrong, "loss": level, "hit": wrong, "all": np.ones(len(groups))}
            )
            found = estimate(metric, rows, groups=groups, resamples=60)
            held += found.low <= truth <= found.high
            plain = estimate(metric, rows, resamples=60)
            naively += plain.low <= truth <= plain.high
        assert held / sets >= 0.88
        assert naively / sets < 0.8

    def test_groups_of_one_item_change_little(self):
        rows = Columns({"wrong": np.arange(300) % 11 == 0, "loss": np.arange(300.0) ** 2})
        for metric in (ERROR, LOSS):
            alone, grouped = estimate(metric, rows), estimate(metric, rows, groups=np.arange(300))
            assert grouped.value == alone.value
            np.testing.assert_allclose(
                (grouped.low, grouped.high), (alone.low, alone.high), rtol=0.02
            )

    def test_groups_without_a_mistake_are_as_uncertain_as_their_number(self):
        rows = Columns({"wrong": np.zeros(120, dtype=bool)})
        found = estimate(ERROR, rows, groups=np.arange(120) // 10)
        assert found.low == 0
        assert found.high > wilson(0, 12).high > wilson(0, 120).high


def test_rows_of_different_lengths_are_taken_by_item():
    rows = Columns({"boxes": [np.zeros((k, 4)) for k in range(5)], "name": np.array(list("abcde"))})
    taken = rows.take(np.array([4, 0, 4]))
    assert [len(boxes) for boxes in taken["boxes"]] == [4, 0, 4]
    assert "".join(taken["name"]) == "eae"


def test_scores_tell_the_headline_and_all_intervals():
    rows = Columns({"wrong": np.arange(50) < 7, "loss": np.arange(50.0)})
    scores = Scores((ERROR, LOSS), rows, groups=np.arange(50) // 2)
    assert scores.headline == 7 / 50
    assert scores.values == {"error": 7 / 50, "loss": 24.5}
    assert scores.estimates()["loss"] == estimate(LOSS, rows, groups=np.arange(50) // 2)


class TestCompare:
    def test_shares_are_compared_with_the_binomial_test(self):
        random = np.random.default_rng(2)
        first, second = random.random((2, 400)) < [[0.1], [0.16]]
        told = compare(ERROR, {"a": Columns({"wrong": first}), "b": Columns({"wrong": second})})
        only = int((first & ~second).sum()), int((second & ~first).sum())
        assert told.pairs[0].p == pytest.approx(binomtest(only[0], sum(only)).pvalue, rel=1e-12)
        assert told.pairs[0].difference.value == pytest.approx(second.mean() - first.mean())
        assert told.estimates["b"] == wilson(int(second.sum()), 400)

    def test_a_few_differences_are_flipped_in_all_ways(self):
        values = np.array([0.3, -1.2, 2.0, 0.7, 1.1])
        sums = [abs(np.dot(signs, values)) for signs in itertools.product((-1, 1), repeat=5)]
        by_hand = np.mean([total >= values.sum() - 1e-9 for total in sums])
        assert sign_flip(values) == by_hand
        assert sign_flip(np.append(values, np.zeros(90))) == by_hand

    def test_many_differences_are_flipped_as_scipy_does(self):
        values = np.random.default_rng(4).gamma(0.7, size=60) - 0.6
        theirs = permutation_test(
            (values,), np.sum, permutation_type="samples", random_state=np.random.default_rng(0)
        ).pvalue
        assert 0.02 < theirs < 0.6
        assert sign_flip(values) == pytest.approx(theirs, rel=0.1)

    @pytest.mark.parametrize("metric", [LOSS, OVERLAP])
    def test_equal_systems_are_told_apart_in_5_of_100_sets(self, metric):
        random = np.random.default_rng(9)
        sets, resamples = (150, 1) if metric is LOSS else (50, 100)
        alarms, held = 0, 0
        for _ in range(sets):
            common = random.random(80)
            total = random.geometric(0.05, size=80)
            systems = {
                name: Columns(
                    {
                        "loss": common + random.gamma(0.5, size=80),
                        "all": total,
                        "hit": random.binomial(total, common),
                    }
                )
                for name in "ab"
            }
            pair = compare(metric, systems, resamples=resamples).pairs[0]
            alarms += pair.differ
            held += pair.difference.low <= 0 <= pair.difference.high
        assert alarms / sets <= 0.12
        assert held / sets >= 0.88

    def test_a_difference_that_two_intervals_hide_is_found(self):
        first, loss = overlaps(), np.random.default_rng(5).gamma(0.5, size=187)
        better = Columns({"all": first["all"], "hit": np.minimum(first["hit"] + 1, first["all"])})
        pair = compare(OVERLAP, {"a": first, "b": better}).pairs[0]
        assert pair.differ
        assert 0 < pair.difference.low < pair.difference.value < pair.difference.high
        wiggle = 0.01 * np.random.default_rng(6).normal(size=187)
        shifted = Columns({"loss": loss + 0.01 + wiggle})
        pair = compare(LOSS, {"a": Columns({"loss": loss}), "b": shifted}).pairs[0]
        assert pair.differ
        assert pair.difference.low > 0.005
        # Unpaired, their intervals overlap nearly whole.
        assert estimate(LOSS, shifted).low < loss.mean() < estimate(LOSS, shifted).high

    def test_groups_are_flipped_together(self):
        """12 groups of 30 equal items: the items say certainty, their groups do not."""
        level = np.random.default_rng(5).normal(0.35, 1.0, size=12)
        groups = np.repeat(np.arange(12), 30)
        systems = {"a": Columns({"loss": np.zeros(360)}), "b": Columns({"loss": level[groups]})}
        plain, grouped = compare(LOSS, systems), compare(LOSS, systems, groups=groups)
        assert grouped.pairs[0].p == sign_flip(level)
        assert plain.pairs[0].p < 0.05 < grouped.pairs[0].p
        before = Columns({"wrong": np.zeros(360, dtype=bool)})
        after = Columns({"wrong": groups < 3})
        assert compare(ERROR, {"a": before, "b": after}).pairs[0].p < 1e-9
        # Three of three groups are worse: as three coins that fall alike.
        assert compare(ERROR, {"a": before, "b": after}, groups=groups).pairs[0].p == 0.25

    def test_three_systems_are_corrected_together(self):
        random = np.random.default_rng(1)
        systems = {k: Columns({"loss": random.gamma(1.0, size=70) + k}) for k in (0, 1, 2)}
        told = compare(LOSS, {f"s{k}": rows for k, rows in systems.items()})
        assert [(pair.first, pair.second) for pair in told.pairs] == [
            ("s0", "s1"),
            ("s0", "s2"),
            ("s1", "s2"),
        ]
        assert [pair.p_adjusted for pair in told.pairs] == holm([pair.p for pair in told.pairs])
