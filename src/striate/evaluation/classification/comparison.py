"""Two or more classifiers on the same items: whether their errors differ, and by how much."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.errors import ShapeError
from striate.evaluation import comparison
from striate.evaluation.classification.loss import (
    LARGEST_BRIER,
    LARGEST_LOSS,
    losses_of_items,
)
from striate.evaluation.interval import Estimate, Proportion, wilson
from striate.evaluation.metric import Columns, Metric
from striate.evaluation.text import percent
from striate.typed_json import JsonRecord

Array = npt.NDArray[Any]

_ERROR = Metric.mean("error", True, lambda rows: rows["wrong"])


@dataclass(frozen=True)
class ClassifierPair(comparison.Pair):
    """The second classifier against the first one: their errors, and on which items they lie."""

    both_wrong: int
    only_first_wrong: int
    only_second_wrong: int
    both_right: int
    needed: int | None
    """Items in all that would tell them apart in 4 of 5 test sets, as strictly as among all pairs
    here (Bonferroni's bound), were the difference what it seems; None where they err equally
    often."""
    balanced: Estimate
    """Balanced accuracy of the second less that of the first."""
    likelihood: Estimate | None
    """Mean negative log-likelihood of the second less that of the first, in nats."""
    brier: Estimate | None
    """Brier score of the second less that of the first."""


@dataclass(frozen=True)
class ClassifierComparison(JsonRecord):
    """Networks on the same n items."""

    n: int
    names: tuple[str, ...]
    errors: tuple[Proportion, ...]
    cochran: tuple[float, float] | None
    """Q and p of Cochran's test that all err equally often; None for two networks."""
    pairs: tuple[ClassifierPair, ...]
    verdict: str

    def lines(self) -> list[str]:
        """The tests as lines for a terminal, the verdict last."""
        lines = []
        if self.cochran is not None:
            q, p = self.cochran
            lines.append(f"Cochran's Q = {q:.3f}, p = {p:.2g}: do all err equally often?")
        for pair in self.pairs:
            gap = pair.difference
            adjusted = f", Holm {pair.p_adjusted:.2g}" if len(self.pairs) > 1 else ""
            tells = "" if pair.differ or not pair.needed else f"; {pair.needed:,} images would tell"
            value, low, high = map(_points, (gap.value, gap.low, gap.high))
            lines.append(
                f"{pair.second} against {pair.first}: {value} points [{low}, {high}], "
                f"only first wrong {pair.only_first_wrong}, only second wrong "
                f"{pair.only_second_wrong}, McNemar p = {pair.p:.2g}{adjusted}{tells}"
            )
        return [*lines, self.verdict]

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        cochran = None if self.cochran is None else dict(zip("qp", self.cochran, strict=True))
        return {**super().to_json(), "cochran": cochran}


def _points(share: float | None) -> str:
    return f"{100 * (share or 0.0):+.2f}"


def cochran_q(wrong: Array) -> tuple[float, float]:
    """Q and p of the test that M networks err equally often on the same items.

    Args:
        wrong: (M, N) whether each network has each item wrong.

    Source: Cochran, "The comparison of percentages in matched samples", Biometrika 37, 1950;
    chi-squared with M - 1 degrees of freedom. For M = 2 it is McNemar's test without correction.

    Example:
        >>> q, p = cochran_q(np.array([[1, 1, 0, 0, 1], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]]))
        >>> round(q, 4), round(p, 4)
        (3.5, 0.1738)
    """
    from scipy.special import chdtrc

    table = np.asarray(wrong, dtype=np.float64)
    networks = len(table)
    by_network, by_item = table.sum(axis=1), table.sum(axis=0)
    spread = float((by_item * (networks - by_item)).sum())
    if spread == 0:
        return 0.0, 1.0
    apart = networks * float((by_network**2).sum()) - float(by_network.sum()) ** 2
    q = (networks - 1) * apart / spread
    return q, float(chdtrc(networks - 1, q))


def items_needed(
    only_first: int, only_second: int, n: int, *, level: float = 0.05, power: float = 0.8
) -> int | None:
    """Test items in all with which McNemar's exact test would tell two networks apart.

    Were the shares of items that only one of them has wrong what they were measured to be. None
    where both err equally often.

    Args:
        only_first: items that only the first network has wrong.
        only_second: items that only the second one has wrong.
        n: items in all.
        level: significance level of the two-sided test.
        power: share of test sets in which it should find the difference.

    Source: the power of the exact test, Duffy, "Asymptotic and exact power for the McNemar test
    and its analogue with R controls per case", Biometrics 40, 1984.

    Example:
        >>> items_needed(20, 10, 500), items_needed(3, 0, 200)
        (1244, 526)
    """
    if only_first == only_second:
        return None
    fewer, apart = min(only_first, only_second), only_first + only_second
    low, high = 0, 1
    while _mcnemar_power(high, apart / n, fewer / apart, level) < power:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        enough = _mcnemar_power(middle, apart / n, fewer / apart, level) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def _mcnemar_power(n: int, apart: float, fewer: float, level: float) -> float:
    """The share of test sets in which McNemar's exact test finds which of two networks is better.

    Args:
        n: items of a test set.
        apart: share of the items that only one of the networks has wrong.
        fewer: share of these that the better network has wrong.
        level: significance level of the two-sided test.
    """
    from scipy.stats import binom

    reach = 9 * (n * apart * (1 - apart)) ** 0.5 + 9
    first, last = max(0, int(n * apart - reach)), min(n, int(n * apart + reach) + 1)
    # Of very many possible numbers of disagreements some hundreds stand for all.
    disagreements = np.arange(first, last + 1, max(1, (last - first) // 400) | 1)
    weight = binom.pmf(disagreements, n, apart)
    most = binom.ppf(level / 2, disagreements, 0.5)
    # The largest number of mistakes of the better one at which the test still finds it.
    most = np.where(binom.cdf(most, disagreements, 0.5) > level / 2, most - 1, most)
    return float((weight * binom.cdf(most, disagreements, fewer)).sum() / weight.sum())


def compare_classifiers(
    predicted: Array,
    target: Array,
    names: Sequence[str],
    *,
    probabilities: Array | None = None,
    seed: int = 0,
) -> ClassifierComparison:
    """Two or more networks on the same items: paired tests, differences, a verdict.

    Args:
        predicted: (M, N) index of the class that each network predicts for each item.
        target: (N,) index of the true class.
        names: M names, all different.
        probabilities: (M, N, K), where all networks have them: for differences of likelihood.
        seed: Random seed of the interval of the difference.

    Raises:
        ShapeError: arrays that do not fit together, or fewer than two networks.

    Example:
        >>> truth = np.zeros(40, dtype=int)
        >>> good, bad = truth.copy(), truth.copy()
        >>> bad[:9] = 1
        >>> compare_classifiers(np.stack([good, bad]), truth, ["good", "bad"]).verdict[:50]
        'good is better than bad: 22.5 points fewer errors '
    """
    predicted, target = np.asarray(predicted), np.asarray(target)
    if predicted.ndim != 2 or len(predicted) < 2 or predicted.shape[1:] != target.shape:
        raise ShapeError(
            "Comparing takes predictions (M, N) of two networks or more and N targets; these are "
            f"shapes {predicted.shape} and {target.shape}."
        )
    if len(names) != len(predicted) or len(set(names)) != len(names):
        raise ShapeError(f"{len(predicted)} networks need as many different names.")
    wrong = predicted != target
    general = comparison.compare(
        _ERROR,
        {name: Columns({"wrong": row}) for name, row in zip(names, wrong, strict=True)},
        seed=seed,
    )
    losses = [] if probabilities is None else [losses_of_items(p, target) for p in probabilities]
    # Each class weighs equally in balanced accuracy, whatever its number of items.
    size = np.bincount(target)
    weight = len(target) / size[target] / np.count_nonzero(size)
    both = combinations(range(len(names)), 2)
    pairs = tuple(
        _pair(pair, wrong[[a, b]], weight, losses and [losses[a], losses[b]], len(general.pairs))
        for pair, (a, b) in zip(general.pairs, both, strict=True)
    )
    errors = tuple(wilson(int(row.sum()), general.n) for row in wrong)
    cochran = cochran_q(wrong) if len(names) > 2 else None
    return ClassifierComparison(
        general.n, tuple(names), errors, cochran, pairs, _verdict(names, errors, pairs)
    )


def disagreements(
    predicted: Array,
    target: Array,
    names: Sequence[str],
    *,
    classes: Sequence[str],
    items: Sequence[str],
    confidences: Sequence[Array | None],
) -> dict[int, dict[str, Any]]:
    """Items that some classifiers have right and others wrong, by index, as JSON values.

    Args:
        predicted: (M, N) index of the class that each classifier predicts for each item.
        target: (N,) index of the true class.
        names: names of M classifiers.
        classes: names of K classes.
        items: names of N items.
        confidences: (N,) confidence of each classifier in its predictions; None: not known.
    """
    wrong = predicted != target
    return {
        i: {
            "name": items[i],
            "truth": classes[target[i]],
            "answers": [
                {
                    "name": name,
                    "answer": classes[predicted[m, i]],
                    "confidence": None if sure is None else float(sure[i]),
                    "right": not wrong[m, i],
                }
                for m, (name, sure) in enumerate(zip(names, confidences, strict=True))
            ],
            "wrong": [name for m, name in enumerate(names) if wrong[m, i]],
        }
        for i in np.flatnonzero(wrong.any(axis=0) & ~wrong.all(axis=0)).tolist()
    }


def _pair(
    pair: comparison.Pair,
    wrong: Array,
    weight: Array,
    losses: Sequence[tuple[Array, Array]],
    num_pairs: int,
) -> ClassifierPair:
    first, second = wrong
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    level = comparison.LEVEL / num_pairs  # as strict as the test that did not tell them apart
    largest = (LARGEST_LOSS, LARGEST_BRIER) if losses else ()
    likelihood, brier = [
        comparison.mean_difference(after - before, most=most)
        for before, after, most in zip(*losses, largest, strict=True)
    ] or (None, None)
    return ClassifierPair(
        **vars(pair),
        both_wrong=int((first & second).sum()),
        only_first_wrong=only_first,
        only_second_wrong=only_second,
        both_right=int((~first & ~second).sum()),
        needed=items_needed(only_first, only_second, len(weight), level=level),
        balanced=comparison.mean_difference((first.astype(np.float64) - second) * weight, most=1.0),
        likelihood=likelihood,
        brier=brier,
    )


def _verdict(
    names: Sequence[str], errors: Sequence[Proportion], pairs: Sequence[ClassifierPair]
) -> str:
    if len(pairs) == 1:
        return _of_two(pairs[0], errors[0].n)
    best = min(range(len(names)), key=lambda i: errors[i].count)
    others = {
        pair.second if pair.first == names[best] else pair.first: pair.differ
        for pair in pairs
        if names[best] in (pair.first, pair.second)
    }
    beaten = [name for name, differs in others.items() if differs]
    equal = [name for name, differs in others.items() if not differs]
    if not beaten:
        tied = sum(error.count == errors[best].count for error in errors) > 1
        few = "as few errors as any, and" if tied else "the fewest errors, but"
        return (
            f"{names[best]} made {few} these {errors[0].n:,} images do not show "
            "that it is better than any of the others."
        )
    sentence = f"{names[best]} made the fewest errors and is better than {_joined(beaten)}"
    return (
        f"{sentence}; from {_joined(equal)} it cannot be told apart." if equal else f"{sentence}."
    )


def _of_two(pair: ClassifierPair, n: int) -> str:
    gap = abs(pair.difference.value)
    low, high = sorted(
        abs(end) if (end < 0) == (pair.difference.value < 0) else -abs(end)
        for end in (pair.difference.low or 0.0, pair.difference.high or 0.0)
    )
    better, worse = pair.first, pair.second
    if pair.difference.value < 0:
        better, worse = worse, better
    points = f"{percent(gap)} points"
    if pair.differ:
        return (
            f"{better} is better than {worse}: {points} fewer errors (95 % interval "
            f"{_signed(low)} to {_signed(high)}), {_p(pair.p)}."
        )
    if pair.needed is None:
        return (
            f"Both err equally often; these {n:,} images do not tell {pair.first} and "
            f"{pair.second} apart."
        )
    # Two digits: the number is an estimate from an estimate.
    more = int(float(f"{max(pair.needed - n, 0):.2g}"))
    return (
        f"{better} and {worse} cannot be told apart: {points} of difference are within chance "
        f"({_p(pair.p)}); if it is real, about {more:,} more test images would show it."
    )


def _signed(share: float) -> str:
    return f"-{percent(-share)}" if share < 0 else percent(share)


def _p(p: float) -> str:
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def _joined(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
