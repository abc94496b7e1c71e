"""Evidence against scipy, scikit-learn and computation from the definitions."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import ndtr
from scipy.stats import binom, binomtest

from benchmarks.coverage import CLAIMS, claimed
from striate.errors import DataError
from striate.evaluation import (
    abstention,
    crossfitted,
    fit_temperature,
    fit_vector,
    holm,
    mcnemar,
    mean_interval,
    measure,
    risk_coverage,
)
from striate.evaluation.classification.calibration import (
    calibration_by_chance,
    calibration_interval,
    reliability,
)
from striate.evaluation.classification.comparison import (
    cochran_q,
    compare_classifiers,
    items_needed,
)
from striate.evaluation.classification.loss import (
    FEW_MISTAKES,
    losses_of_a_mistake,
    losses_of_items,
)
from striate.evaluation.classification.macro import auc, macro_f1
from striate.evaluation.classification.selective import THRESHOLDS, _bounds
from striate.evaluation.comparison import compare, mean_difference
from striate.evaluation.interval import clopper_pearson, wilson
from striate.evaluation.metric import Columns, Metric, estimate


def predictions(n: int = 613, num_classes: int = 7, seed: int = 5, sharpness: float = 1.0):
    """Probabilities of a mediocre classifier on lopsided classes."""
    chance = np.random.default_rng(seed)
    target = chance.choice(num_classes, size=n, p=chance.dirichlet(np.full(num_classes, 4.0)))
    scores = 2.1 * chance.normal(size=(n, num_classes))
    scores[np.arange(n), target] += 2.6
    p = np.exp(sharpness * scores)
    return p / p.sum(axis=1, keepdims=True), target


class TestAreas:
    def test_each_class_and_the_mean_equal_scikit_learn(self):
        from sklearn.metrics import roc_auc_score

        p, target = predictions()
        p = p.round(2) + 0.001  # ties
        p /= p.sum(axis=1, keepdims=True)
        theirs = [roc_auc_score(target == k, p[:, k]) for k in range(7)]
        np.testing.assert_allclose(auc(p, target).value, np.mean(theirs), rtol=1e-12)

    def test_the_interval_of_two_classes_is_that_of_delong_on_many_items(self):
        # DeLong's variance written out from the definition, quadratic in the items.
        chance = np.random.default_rng(2)
        n = 900
        target = (chance.random(n) < 0.3).astype(int)
        score = chance.normal(size=n) + 1.1 * target
        p = 1 / (1 + np.exp(-score))
        high, low = p[target == 1], p[target == 0]
        psi = (high[:, None] > low[None, :]).astype(float)
        variance = psi.mean(axis=1).var(ddof=1) / len(high) + psi.mean(axis=0).var(ddof=1) / len(
            low
        )
        found = auc(np.stack([1 - p, p], axis=1), target)
        # The ends are Wilson's, not symmetric; their distance is 2 z sigma to a few per cent.
        np.testing.assert_allclose((found.high - found.low) / (2 * 1.96), variance**0.5, rtol=0.03)

    def test_the_interval_holds_the_area_of_a_good_network(self):
        chance = np.random.default_rng(12)
        n, sets, shift, held = 360, 400, 3.0, 0
        # The area of two Gaussians a distance apart (binormal).
        truth = ndtr(shift / 2**0.5)
        for _ in range(sets):
            target = (chance.random(n) < 0.45).astype(int)
            score = ndtr(chance.normal(size=n) + shift * (target - 0.5))
            found = auc(np.stack([1 - score, score], axis=1), target)
            held += found.low <= truth <= found.high
        assert 0.93 <= held / sets <= 0.985

    def test_a_class_without_items_is_left_out(self):
        from sklearn.metrics import roc_auc_score

        p, target = predictions(97, 4)
        keep = target != 2
        areas = [roc_auc_score(target[keep] == k, p[keep, k]) for k in (0, 1, 3)]
        assert auc(p[keep], target[keep]).value == pytest.approx(np.mean(areas))
        assert auc(p[target == 1], target[target == 1]) is None


def test_macro_f1_equals_scikit_learn():
    from sklearn.metrics import confusion_matrix, f1_score

    p, target = predictions()
    answer = p.argmax(axis=1)
    ours = macro_f1(confusion_matrix(target, answer))
    np.testing.assert_allclose(ours.value, f1_score(target, answer, average="macro"), rtol=1e-12)
    assert ours.low < ours.value < ours.high


def test_a_table_without_a_mistake_is_as_uncertain_as_its_items_are_few():
    few, many = macro_f1(np.diag([5, 9])), macro_f1(np.diag([50, 90]))
    assert few.high == many.high == 1.0
    assert few.low < 0.85 < many.low < 0.99


def test_what_few_items_take_from_macro_f1_is_given_back_to_its_interval():
    chance = np.random.default_rng(6)
    classes, n, sets = 20, 160, 700
    share = 0.15 * chance.dirichlet(np.ones(classes), size=classes)
    share[np.diag_indices(classes)] += 0.85
    share *= chance.dirichlet(np.full(classes, 20.0))[:, None]

    def f1(table):
        return 2 * table.diagonal() / (table.sum(axis=0) + table.sum(axis=1))

    truth = f1(share)
    size = n * (share.sum(axis=0) + share.sum(axis=1))
    tables = chance.multinomial(n, share.ravel(), size=sets).reshape(sets, classes, classes)
    found = [macro_f1(table) for table in tables]
    lost = truth.mean() - np.mean([estimate.value for estimate in found])
    # To second order; what is left is of the order of 1 / (items of a class)².
    assert lost == pytest.approx((truth * (1 - truth) / size).mean(), rel=0.35)
    missed = [
        np.mean([truth.mean() < e.low for e in found]),
        np.mean([truth.mean() > e.high for e in found]),
    ]
    assert sum(missed) < 0.07
    # Without it nearly all of them end too low.
    low = [e.high - (truth * (1 - truth) / size).mean() for e in found]
    assert np.mean([truth.mean() > high for high in low]) > missed[1] + 0.02


class TestMeans:
    def test_intervals_end_where_the_measure_does(self):
        p, target = np.full((7, 2), 0.001), np.zeros(7, dtype=int)
        p[:, 1] = 0.999
        p[0] = 0.6, 0.4
        found = measure(p, target, ["a", "b"])
        assert found.brier_score.value < found.brier_score.high == 2.0
        assert found.calibration_error.high <= 1.0
        sums = Columns({"share": np.array([0.2, 1.0, 1.0, 1.0, 1.0, 0.99])})
        share = Metric.mean("share", False, lambda rows: rows["share"], most=1.0)
        assert estimate(share, sums).high == 1.0
        groups = np.array([0, 0, 1, 1, 2, 2])
        assert estimate(share, sums, groups=groups).high == 1.0
        costs = Columns({"cost": np.array([9.0, 0.0, 0.0, 0.1, 0.0, 0.0])})
        cost = Metric.mean("cost", True, lambda rows: rows["cost"])
        assert estimate(cost, costs, groups=groups).low >= 0.0
        other = Columns({"share": np.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.1])})
        pair = compare(share, {"a": sums, "b": other}).pairs[0]
        assert pair.difference.low == -1.0

    def test_hall_is_the_normal_interval_where_nothing_is_skewed(self):
        values = np.concatenate([np.arange(1.0, 401), -np.arange(1.0, 401)])
        found = mean_interval(values)
        half = 1.959964 * values.std() / len(values) ** 0.5
        np.testing.assert_allclose((found.low, found.high), (-half, half), rtol=1e-5)

    def test_it_holds_the_mean_of_skewed_losses_where_the_percentile_bootstrap_does_not(self):
        chance, drawn = np.random.default_rng(4), np.random.default_rng(1)
        truth, sets, n = np.exp(1.6**2 / 2), 300, 150
        ours = theirs = 0
        for _ in range(sets):
            values = np.exp(1.6 * chance.normal(size=n))
            found = mean_interval(values)
            ours += found.low <= truth <= found.high
            means = values[drawn.integers(n, size=(200, n))].mean(axis=1)
            low, high = np.quantile(means, [0.025, 0.975])
            theirs += low <= truth <= high
        assert theirs / sets < 0.88
        assert ours / sets > theirs / sets + 0.03

    def test_a_mistake_that_did_not_come_lengthens_the_upper_end_alone(self):
        chance = np.random.default_rng(8)
        values = 0.001 * chance.gamma(1.0, size=211)
        plain, longer = mean_interval(values), mean_interval(values, unseen=1.7)
        assert (longer.value, longer.low) == (plain.value, plain.low)
        # Clopper and Pearson exclude 3.7 mistakes of n where none came.
        assert 1.0 < (longer.high - plain.value) * 211 / (3.7 * 1.7) < 1.2
        assert plain.high < 0.002

    def test_losses_of_a_nearly_perfect_network_are_covered_where_halls_interval_is_not(self):
        chance = np.random.default_rng(2)
        size, sets, n = 40_000, 300, 150
        scores = chance.normal(size=(size, 5)) * chance.gamma(2.0, 0.5, size)[:, None]
        target = chance.integers(5, size=size)
        scores[np.arange(size), target] += 7.5
        p = np.exp(scores)
        p /= p.sum(axis=1, keepdims=True)
        wrong = p.argmax(axis=1) != target
        assert 0.002 < wrong.mean() < 0.02
        for which in (0, 1):
            losses = losses_of_items(p, target)[which]
            ours = plain = 0
            for _ in range(sets):
                items = chance.integers(size, size=n)
                halls = mean_interval(losses[items])
                plain += halls.low <= losses.mean() <= halls.high
                high = halls.high
                if wrong[items].sum() <= FEW_MISTAKES:
                    unseen = losses_of_a_mistake(p[items])[which]
                    high = mean_interval(losses[items], unseen=unseen).high
                ours += halls.low <= losses.mean() <= high
            assert ours / sets >= 0.95
            assert plain / sets < 0.9


class TestCalibration:
    @pytest.mark.parametrize("name", CLAIMS)
    def test_the_interval_holds_the_error_of_networks_that_claim_too_much(self, name):
        for n in (50, 360):
            held = claimed(name, CLAIMS[name], n, 300, seed=0)["calibration_error"]
            assert held >= 0.92, n

    def test_fifty_wrong_predictions_do_not_claim_certainty(self):
        """Up to 7 % may be right though none of 50 was: Wilson's interval of a share of 0."""
        found = calibration_interval(reliability(np.full(50, 0.8), np.zeros(50, dtype=bool)))
        assert found.value == pytest.approx(0.8)
        assert 0.8 - 1.5 * wilson(0, 50).high < found.low < 0.8 - wilson(0, 50).high
        assert found.value < found.high < 0.83

    def test_a_network_that_is_sure_and_right_may_be_calibrated(self):
        """In 6 of 10 sets of 50 items a network that is right in 99 of 100 makes no mistake."""
        found = calibration_interval(reliability(np.full(50, 0.99), np.ones(50, dtype=bool)))
        assert found.low == 0.0
        assert 0.05 < found.high < 0.1

    def test_the_part_by_chance_is_what_calibrated_networks_show(self):
        chance = np.random.default_rng(8)
        shown, told = [], []
        for _ in range(60):
            sure = chance.uniform(0.4, 1.0, 500)
            bins = reliability(sure, chance.random(500) < sure)
            shown.append(calibration_interval(bins).value)
            told.append(calibration_by_chance(bins))
        np.testing.assert_allclose(np.mean(shown), np.mean(told), rtol=0.06)

    def test_temperature_is_the_minimum_that_scipy_finds(self):
        p, target = predictions(5000, sharpness=2.3)

        def loss(temperature: float) -> float:
            q = p ** (1 / temperature)
            q /= q.sum(axis=1, keepdims=True)
            soft = np.full(p.shape, 1 / (7 * 5001))
            soft[np.arange(5000), target] += 5000 / 5001
            return float(-(soft * np.log(q)).sum(axis=1).mean())

        theirs = minimize_scalar(loss, bounds=(0.2, 9), method="bounded", options={"xatol": 1e-9})
        ours = fit_temperature(p, target)
        assert ours.temperature == pytest.approx(theirs.x, rel=1e-5)
        # The answers stay, and the temperature undoes the sharpening of a calibrated network.
        assert (ours(p).argmax(axis=1) == p.argmax(axis=1)).all()
        whole, _ = predictions(5000, sharpness=1.0)
        undone = fit_temperature(whole, target)
        assert ours.temperature == pytest.approx(2.3 * undone.temperature, rel=1e-3)

    def test_answers_that_are_all_right_do_not_ask_for_certainty(self):
        p = np.full((40, 3), 0.1)
        p[:, 0] = 0.8
        calibrated = fit_temperature(p, np.zeros(40, dtype=int))(p)
        assert 0.97 < calibrated[0, 0] < 0.995

    def test_crossfitting_calibrates_what_it_has_not_seen(self):
        p, target = predictions(3000, sharpness=3.0)
        before, after = (
            calibration_interval(reliability(q.max(axis=1), q.argmax(axis=1) == target)).value
            for q in (p, crossfitted(fit_temperature, p, target))
        )
        assert after < before / 3

    def test_vector_scaling_mends_a_class_that_is_told_too_rarely(self):
        p, target = predictions(4000, 3, sharpness=1.0)
        bent = p * [1.0, 0.3, 1.0]
        bent /= bent.sum(axis=1, keepdims=True)

        def loss(q):
            return float(-np.log(q[np.arange(4000), target]).mean())

        one = loss(crossfitted(fit_temperature, bent, target))
        each = loss(crossfitted(lambda a, b: fit_vector(a, b, penalty=1e-3), bent, target))
        assert each < one - 0.05


class TestPairs:
    def test_mcnemar_is_the_binomial_test(self):
        for only_first, only_second in [(0, 0), (3, 3), (1, 9), (40, 22)]:
            n = only_first + only_second
            theirs = binomtest(only_first, n, 0.5).pvalue if n else 1.0
            assert mcnemar(only_first, only_second) == pytest.approx(theirs, rel=1e-12)

    def test_cochran_equals_its_definition_as_a_ratio_of_sums_of_squares(self):
        # Three players predict twelve games.
        right = np.array(
            [
                [1, 1, 0, 1, 0, 1, 1, 1, 0, 0, 1, 1],
                [1, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1],
                [1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1],
            ]
        )
        q, p = cochran_q(1 - right)
        columns, rows = right.sum(axis=1), right.sum(axis=0)
        by_hand = 3 * 2 * ((columns - columns.mean()) ** 2).sum() / (rows * (3 - rows)).sum()
        assert q == pytest.approx(by_hand, rel=1e-12)
        # Two degrees of freedom: the tail of chi-squared is exp(-q / 2).
        assert p == pytest.approx(np.exp(-q / 2), rel=1e-9)

    def test_cochran_of_two_is_mcnemar_without_correction(self):
        wrong = np.random.default_rng(1).random((2, 300)) < [[0.2], [0.3]]
        b, c = (wrong[0] & ~wrong[1]).sum(), (wrong[1] & ~wrong[0]).sum()
        assert cochran_q(wrong)[0] == pytest.approx((b - c) ** 2 / (b + c), rel=1e-12)

    def test_networks_that_err_on_the_same_items_do_not_differ(self):
        wrong = np.array([[True, False, True]] * 3)
        assert cochran_q(wrong) == (0.0, 1.0)

    def test_holm_never_reorders_and_never_exceeds_one(self):
        assert holm([0.001, 0.6, 0.02, 0.04]) == pytest.approx([0.004, 0.6, 0.06, 0.08])

    def test_the_number_needed_finds_the_difference_in_four_of_five_sets(self):
        n = items_needed(20, 10, 500)
        chance = np.random.default_rng(0)
        drawn = chance.multinomial(n, [0.04, 0.02, 0.94], size=4000)
        found = np.mean([mcnemar(int(b), int(c)) <= 0.05 for b, c, _ in drawn])
        assert 0.78 < found < 0.82

    def test_the_number_needed_is_that_of_the_exact_test(self):
        """Three disagreements, all one way: it takes six for p below 0.05 (2 / 2**6 = 0.031)."""
        n = items_needed(3, 0, 200)
        assert binom.sf(5, n, 3 / 200) >= 0.8 > binom.sf(5, n - 1, 3 / 200)
        assert items_needed(0, 3, 200) == n
        assert items_needed(3, 3, 200) is None

    def test_so_many_disagreements_that_some_stand_for_all(self):
        """Connor's formula, which is exact in the limit of many items."""
        apart, difference = 0.0201, 0.0001
        root = 1.959964 * apart**0.5 + 0.841621 * (apart - difference**2) ** 0.5
        assert items_needed(1010, 1000, 100_000) == pytest.approx(
            (root / difference) ** 2, rel=2e-3
        )

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_the_verdict_names_the_better_one(self, order):
        target = np.zeros(200, dtype=int)
        answers = np.zeros((2, 200), dtype=int)
        answers[1, :30] = 1
        names = ["good", "bad"]
        found = compare_classifiers(answers[list(order)], target, [names[i] for i in order])
        assert found.verdict.startswith("good is better than bad: 15.0 points fewer errors")
        assert "95 % interval 10" in found.verdict or "95 % interval 9" in found.verdict

    def test_a_small_difference_is_not_claimed_and_says_what_would_show_it(self):
        target = np.zeros(200, dtype=int)
        answers = np.zeros((2, 200), dtype=int)
        answers[1, :3] = 1
        found = compare_classifiers(answers, target, ["a", "b"])
        assert "cannot be told apart" in found.verdict
        assert "about 330 more test images would show it" in found.verdict
        assert found.pairs[0].difference.low < 0 < found.pairs[0].difference.high

    def test_of_three_the_best_is_told_with_those_it_beats(self):
        target = np.zeros(300, dtype=int)
        answers = np.zeros((3, 300), dtype=int)
        answers[1, :40] = 1
        answers[2, :2] = 1
        found = compare_classifiers(answers, target, ["a", "b", "c"])
        assert found.verdict == (
            "a made the fewest errors and is better than b; from c it cannot be told apart."
        )
        assert found.cochran[1] < 1e-6
        assert all(pair.p <= pair.p_adjusted for pair in found.pairs)

    def test_differences_of_losses_are_covered_where_halls_interval_is_not(self):
        """Losses of two similar networks: skewed each, their difference hardly."""
        chance = np.random.default_rng(3)
        sets, n = 400, 100
        ours = halls = 0
        for _ in range(sets):
            common = chance.gamma(0.3, size=n)
            before, after = common * chance.gamma(2.0, size=(2, n)) / 2
            found = mean_difference(after - before)
            ours += found.low <= 0 <= found.high
            found = mean_interval(after - before)
            halls += found.low <= 0 <= found.high
        assert ours / sets >= 0.93
        assert halls / sets < 0.91


class TestAbstention:
    def test_the_bound_is_clopper_pearsons_at_a_share_of_the_doubt(self):
        sure = np.linspace(0.99, 0.2, 640)
        right = np.ones(640, dtype=bool)
        right[500:] = False
        kept = abstention(sure, right, 0.03)
        exact = clopper_pearson(kept.wrong, kept.answered, confidence=1 - 0.1 / THRESHOLDS).high
        assert kept.bound == pytest.approx(exact, rel=1e-12)
        assert kept.bound <= 0.03
        assert kept.answered == (sure >= kept.threshold).sum()

    def test_thresholds_are_the_shares_of_the_items(self):
        n = 10 * THRESHOLDS + 3
        _, predicted, _, _ = _bounds(np.linspace(0.99, 0.2, n), np.ones(n, dtype=bool), 0.95)
        assert predicted.tolist() == [-(-k * n // THRESHOLDS) for k in range(1, THRESHOLDS + 1)]

    def test_the_promise_is_broken_in_fewer_than_5_of_100_sets(self):
        chance = np.random.default_rng(6)
        sure = chance.beta(4, 1.2, 200_000)
        right = chance.random(200_000) < sure
        broken = 0
        for _ in range(200):
            items = chance.integers(len(sure), size=500)
            try:
                kept = abstention(sure[items], right[items], 0.1)
            except DataError:
                continue
            broken += (~right[sure >= kept.threshold]).mean() > 0.1
        assert broken / 200 <= 0.05

    def test_what_cannot_be_promised_is_refused_with_what_can(self):
        sure = np.linspace(0.5, 1, 143)
        with pytest.raises(DataError, match=r"smallest that they prove is 4\.\d %"):
            abstention(sure, np.ones(143, dtype=bool), 0.001)
        with pytest.raises(DataError, match="must lie between 0 and 1"):
            abstention(sure, np.ones(143, dtype=bool), 5.0)

    def test_the_curve_ends_at_the_error_of_all_and_keeps_equal_confidences_together(self):
        p, target = predictions()
        right = p.argmax(axis=1) == target
        curve = risk_coverage(p.max(axis=1), right)
        assert curve[-1].coverage == 1.0
        assert curve[-1].error == pytest.approx((~right).mean())
        tied = risk_coverage(np.repeat([0.9, 0.5], [3, 4]), np.arange(7) != 1)
        assert [point.answered for point in tied] == [3, 7]


def test_a_temperature_is_found_in_a_few_passes(monkeypatch):
    """Each pass is over all numbers of the answers; halving alone takes forty."""
    p, target = predictions(sharpness=0.3)
    passes = []
    einsum = np.einsum
    monkeypatch.setattr(np, "einsum", lambda *given: passes.append(given[0]) or einsum(*given))
    fit_temperature(p, target)
    assert 2 <= len(passes) // 2 <= 10
