"""How often the 95 % intervals of every measure hold the true value, by simulation.

    python benchmarks/coverage.py [--sets 400] [--regimes digits photos ...]
    python benchmarks/coverage.py --sets 1000 --n 50 150 360 1000 --regimes "% sure"

A population of 200,000 answers is drawn once for each regime: classes of unequal size, items of
unequal difficulty (Gaussian scores whose spread is gamma distributed), a gap between the true
class and the others that sets the error, and a temperature that makes the network too sure or too
modest. Its measures are the truth. Then test sets of n items are drawn from it, measured, and it is
counted how often each interval holds the truth. One standard error at 400 sets and 95 % is 1.1 %.

The calibration error has twelve regimes of its own, in which what a network claims and how often it
is right are set apart from each other.
"""

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from striate.errors import DataError
from striate.evaluation import abstention, measure
from striate.evaluation.classification.calibration import calibration_interval, reliability
from striate.evaluation.classification.comparison import compare_classifiers

POPULATION = 200_000
ESTIMATES = (
    "balanced_accuracy",
    "macro_f1",
    "auc",
    "negative_log_likelihood",
    "brier_score",
    "calibration_error",
)


@dataclass(frozen=True)
class Regime:
    """A kind of network on a kind of data."""

    num_classes: int
    gap: float
    """Score of the true class above the others, in units of their spread."""
    sharpness: float
    """Factor on the scores: about 1.75 is calibrated, more is too sure."""


REGIMES = {
    "digits, nearly perfect": Regime(10, 9.0, 1.0),
    "digits, too modest": Regime(10, 6.0, 0.6),
    "photographs, calibrated": Regime(10, 3.5, 1.75),
    "photographs, too sure": Regime(10, 3.5, 2.5),
    "two classes": Regime(2, 3.0, 1.5),
    "many classes": Regime(50, 5.0, 1.5),
}


@dataclass(frozen=True)
class Claim:
    """A network whose confidences are even between two numbers, and how often it is right."""

    lowest: float
    highest: float
    right: float
    """Share of right predictions at the middle of the confidences; elsewhere as much more or less
    as the confidence is."""


CLAIMS = {
    "80 % sure, 1 % right": Claim(0.8, 0.8, 0.01),
    "80 % sure, 10 % right": Claim(0.8, 0.8, 0.1),
    "80 % sure, 30 % right": Claim(0.8, 0.8, 0.3),
    "80 % sure, 60 % right": Claim(0.8, 0.8, 0.6),
    "95 % sure, 50 % right": Claim(0.95, 0.95, 0.5),
    "95 % sure, 85 % right": Claim(0.95, 0.95, 0.85),
    "99 % sure, 90 % right": Claim(0.99, 0.99, 0.9),
    "99 % sure, 97 % right": Claim(0.99, 0.99, 0.97),
    "50 to 100 % sure, 45 % right": Claim(0.5, 1.0, 0.45),
    "50 to 100 % sure, 65 % right": Claim(0.5, 1.0, 0.65),
    "50 to 100 % sure, 75 % right": Claim(0.5, 1.0, 0.75),
    "50 to 80 % sure, too modest": Claim(0.5, 0.8, 0.8),
}


def claimed(name: str, claim: Claim, n: int, sets: int, seed: int) -> dict[str, object]:
    """Share of test sets whose interval of the calibration error holds the truth."""
    middle = (claim.lowest + claim.highest) / 2
    chance = np.random.default_rng([seed, n])

    def drawn(size: int) -> tuple[np.ndarray, np.ndarray]:
        sure = chance.uniform(claim.lowest, claim.highest, size)
        return sure, claim.right + sure - middle

    truth = calibration_interval(reliability(*drawn(POPULATION))).value
    held = []
    for _ in range(sets):
        sure, share = drawn(n)
        found = calibration_interval(reliability(sure, chance.random(n) < share))
        held.append(found.low <= truth <= found.high)
    share_held = round(float(np.mean(held)), 3)
    return {"regime": name, "n": n, "sets": sets, "calibration_error": share_held}


def population(regime: Regime, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (M, K) and truths (M,) of a whole population."""
    chance = np.random.default_rng(seed)
    size = POPULATION if regime.num_classes <= 10 else POPULATION // 4
    prior = chance.dirichlet(np.full(regime.num_classes, 8.0))
    target = chance.choice(regime.num_classes, size, p=prior)
    scores = chance.normal(size=(size, regime.num_classes))
    scores *= chance.gamma(2.0, 0.5, size)[:, None]
    scores[np.arange(size), target] += regime.gap
    scores *= regime.sharpness
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True), target


def truths(p: np.ndarray, target: np.ndarray, names: list[str]) -> dict[str, float]:
    whole = measure(p, target, names)
    told = {name: getattr(whole, name).value for name in ESTIMATES}
    told["error"] = whole.error.value
    told["recall"], told["precision"] = (
        whole.classes[0].recall.value,
        whole.classes[0].precision.value,
    )
    if 2 in whole.top_k_error:
        told["top-2 error"] = whole.top_k_error[2].value
    bins = reliability(p.max(axis=1), p.argmax(axis=1) == target)
    told["calibration_error"] = calibration_interval(bins).value
    return told


def intervals(p: np.ndarray, target: np.ndarray, names: list[str]) -> dict[str, tuple]:
    m = measure(p, target, names)
    found = {name: getattr(m, name) for name in ESTIMATES}
    found |= {"error": m.error, "recall": m.classes[0].recall, "precision": m.classes[0].precision}
    if 2 in m.top_k_error:
        found["top-2 error"] = m.top_k_error[2]
    return {
        name: (e.low, e.high) for name, e in found.items() if e is not None and e.low is not None
    }


def covered(name: str, regime: Regime, n: int, sets: int, seed: int) -> dict[str, object]:
    """Shares of test sets whose intervals hold the truth."""
    p, target = population(regime, seed)
    names = [str(k) for k in range(regime.num_classes)]
    truth = truths(p, target, names)
    chance = np.random.default_rng([seed, n])
    held: dict[str, list[bool]] = {}
    for _ in range(sets):
        items = chance.integers(len(target), size=n)
        for key, (low, high) in intervals(p[items], target[items], names).items():
            held.setdefault(key, []).append(bool(low <= truth[key] <= high))
    shares = {key: round(float(np.mean(hits)), 3) for key, hits in held.items()}
    return {"regime": name, "n": n, "sets": sets, "error": round(truth["error"], 4), **shares}


def paired(n: int, sets: int, seed: int) -> dict[str, object]:
    """Coverage of the paired difference of two networks, and McNemar's false alarms."""
    chance = np.random.default_rng([seed, n])
    held, alarms = [], 0
    for _ in range(sets):
        base = chance.random(n) < 0.1
        first, second = (base ^ (chance.random(n) < 0.03) for _ in range(2))
        # The truth: both have the same error, so the difference is 0.
        target = np.zeros(n, dtype=np.int64)
        found = compare_classifiers(np.stack([first, second]).astype(np.int64), target, ["a", "b"])
        pair = found.pairs[0]
        held.append(pair.difference.low <= 0 <= pair.difference.high)
        alarms += pair.p <= 0.05
    return {
        "regime": "equal pair",
        "n": n,
        "sets": sets,
        "difference": round(float(np.mean(held)), 3),
        "false alarms": round(alarms / sets, 3),
    }


def promised(n: int, sets: int, seed: int, error: float = 0.05) -> dict[str, object]:
    """How often the error among the answers exceeds what `abstention` promised: at most 5 %."""
    p, target = population(REGIMES["photographs, too sure"], seed)
    sure, right = p.max(axis=1), p.argmax(axis=1) == target
    chance = np.random.default_rng([seed, n])
    broken, silent, coverage = 0, 0, []
    for _ in range(sets):
        items = chance.integers(len(target), size=n)
        try:
            kept = abstention(sure[items], right[items], error)
        except DataError:
            silent += 1
            continue
        answered = sure >= kept.threshold
        broken += float(1 - right[answered].mean()) > error
        coverage.append(answered.mean())
    return {
        "regime": "abstention at 5 %",
        "n": n,
        "sets": sets,
        "broken promises": round(broken / sets, 3),
        "none possible": round(silent / sets, 3),
        "answered": round(float(np.mean(coverage)), 3) if coverage else math.nan,
    }


def rows(options: argparse.Namespace) -> Iterator[dict[str, object]]:
    def is_wanted(name: str) -> bool:
        return not options.regimes or any(word in name for word in options.regimes)

    for name, claim in CLAIMS.items():
        if is_wanted(name):
            yield from (claimed(name, claim, n, options.sets, options.seed) for n in options.n)
    for name, regime in REGIMES.items():
        if not is_wanted(name):
            continue
        for n in options.n:
            if n >= 5 * regime.num_classes:
                sets = options.sets if regime.num_classes <= 10 else options.sets // 2
                yield covered(name, regime, n, sets, options.seed)
    if not options.regimes:
        for n in (360, 1000):
            yield paired(n, options.sets, options.seed)
            yield promised(n, options.sets, options.seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=400, help="simulated test sets of each row")
    parser.add_argument("--n", type=int, nargs="*", default=[150, 360, 1000, 5000])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--regimes", nargs="*", default=[], help="words of the regimes to run")
    options = parser.parse_args()
    for row in rows(options):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
