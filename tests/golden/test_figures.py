"""Figures of an evaluation, with intervals, texts and charts: any change of them shows here.

Regenerate after a change that is meant: python tests/golden/test_figures.py
"""

import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate.evaluation.bootstrap import percentile_interval, resampled
from striate.evaluation.chart import Series, bar_chart, line_chart, reliability_chart
from striate.evaluation.classification.calibration import reliability
from striate.evaluation.classification.comparison import cochran_q, compare_classifiers
from striate.evaluation.classification.macro import mean_share
from striate.evaluation.classification.measure import measure
from striate.evaluation.classification.mistake import confident_mistakes, mistakes
from striate.evaluation.classification.selective import abstention, risk_coverage
from striate.evaluation.classification.temperature import fit_temperature, fit_vector
from striate.evaluation.classification.text import most_confused, summary_lines, table_lines
from striate.evaluation.comparison import holm, mcnemar, sign_flip
from striate.evaluation.interval import clopper_pearson, wilson
from striate.evaluation.mean import mean_interval
from striate.evaluation.metric import Columns, Metric, estimate
from striate.evaluation.spread import corrected_resampled, seed_spread
from striate.randomness import generator

FIGURES = Path(__file__).with_name("figures.txt")
NAMES = ("ant", "bee", "cow", "dog")


def predictions(seed: int, num: int, classes: int, skill: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, K) that favour the truth, and labels (N,) of classes of unequal size."""
    draw = np.random.default_rng(seed)
    sizes = np.arange(1, classes + 1) / np.arange(1, classes + 1).sum()
    target = draw.choice(classes, num, p=sizes)
    scores = draw.normal(0, 1, (num, classes))
    scores[np.arange(num), target] += skill
    shares = np.exp(1.7 * scores)
    return shares / shares.sum(1, keepdims=True), target


def measured(seed: int, num: int, classes: int, skill: float) -> Callable[[], Any]:
    return lambda: measure(*predictions(seed, num, classes, skill), NAMES[:classes])


def confidences() -> tuple[np.ndarray, np.ndarray]:
    probabilities, target = predictions(4, 300, 4, 1.8)
    return probabilities.max(1), probabilities.argmax(1) == target


def compared() -> Any:
    pairs = [predictions(6, 150, 4, skill) for skill in (1.0, 1.6, 3.0)]
    probabilities = np.stack([own for own, _ in pairs])
    target = pairs[0][1]
    return compare_classifiers(
        probabilities.argmax(2), target, ["a", "b", "c"], probabilities=probabilities
    )


def wrong(trainings: int = 5) -> np.ndarray:
    draw = np.random.default_rng(8)
    hard = draw.uniform(0, 0.5, 200)
    skill = draw.uniform(0.3, 1.7, (trainings, 1))
    return draw.uniform(size=(trainings, 200)) < hard * skill


def grouped() -> Any:
    draw = np.random.default_rng(9)
    right, groups = draw.uniform(size=90) < 0.8, np.sort(draw.integers(0, 12, 90))
    metric = Metric.mean("error", True, lambda rows: ~rows["right"])
    rows = Columns({"right": right})
    loss = Metric.mean("loss", True, lambda rows: rows["loss"])
    losses = Columns({"loss": draw.exponential(1.0, 90)})
    return [
        estimate(metric, rows),
        estimate(metric, rows, groups=groups),
        estimate(loss, losses),
        estimate(loss, losses, groups=groups),
        mean_interval(losses["loss"], confidence=0.9, unseen=9.0),
    ]


def bootstrapped() -> Any:
    draw = np.random.default_rng(10)
    values, strata = draw.normal(size=60), np.arange(60) % 3
    return [
        percentile_interval(
            float(np.median(values)),
            resampled(
                lambda index: float(np.median(values[index])),
                60,
                generator=generator(1, "b"),
                **how,
            ),
            0.95,
        )
        for how in ({}, {"strata": strata}, {"groups": strata * 5}, {"resamples": 40})
    ]


def curves(**options: Any) -> Any:
    points = [(float(step), 10 / (step + 1) + 0.3 * (step % 3)) for step in range(12)]
    band = [(x, y - 0.2, y + 0.1) for x, y in points[3:6]]
    series = [Series("loss", "a", points), Series("other", "b", points[::2], band=band)]
    return line_chart(series, x_label="step", y_label="loss", **options)


FIGURES_OF: dict[str, Callable[[], Any]] = {
    "wilson": lambda: [
        wilson(count, n, confidence=c)
        for count, n, c in ((0, 9, 0.95), (3, 9, 0.95), (9, 9, 0.9), (40, 400, 0.99))
    ],
    "clopper and pearson": lambda: [
        clopper_pearson(count, n) for count, n in ((0, 9), (3, 9), (9, 9), (40, 400))
    ],
    "four classes": measured(1, 240, 4, 1.5),
    "two classes": measured(2, 60, 2, 1.0),
    "few mistakes": measured(3, 90, 3, 6.0),
    "lines": lambda: summary_lines(measured(1, 240, 4, 1.5)()),
    "table": lambda: table_lines(
        ["a", "b"], [measured(1, 240, 4, 1.5)(), measured(5, 240, 4, 2.5)()]
    ),
    "confusions": lambda: most_confused(measured(1, 240, 4, 1.5)(), limit=5),
    "mistakes": lambda: [
        find(*predictions(1, 80, 4, 1.5), limit=4) for find in (mistakes, confident_mistakes)
    ],
    "shares": lambda: mean_share([3, 0, 7], [10, 4, 9]),
    "temperature": lambda: fit_temperature(*predictions(4, 300, 4, 1.8)),
    "vector": lambda: fit_vector(*predictions(4, 300, 4, 1.8)),
    "abstention": lambda: [
        risk_coverage(*confidences(), points=9),
        abstention(*confidences(), 0.1),
    ],
    "comparison": compared,
    "needed": lambda: cochran_q(wrong()),
    "tests": lambda: [
        mcnemar(3, 11),
        mcnemar(0, 0),
        sign_flip(np.random.default_rng(1).normal(0.2, 1, 9)),
        sign_flip(np.random.default_rng(1).normal(0.2, 1, 40)),
        holm([0.04, 0.01, 0.03]),
    ],
    "seeds": lambda: [seed_spread(wrong()), seed_spread(wrong(2))],
    "folds": lambda: corrected_resampled([0.1, 0.14, 0.08, 0.12], 300, 100),
    "rows": grouped,
    "bootstrap": bootstrapped,
    "curves": lambda: [
        curves(),
        curves(zero=True, unit=" %"),
        curves(x_log=True, x_range=(1.0, 20.0)),
        line_chart([Series("a", "b", [(0.0, 5.0), (1.0, 5.01)])], x_label="x", y_label="y"),
    ],
    "bars": lambda: bar_chart({"lr": 0.62, "width": 0.3, "other": 0.08}, "importance"),
    "reliability": lambda: reliability_chart(reliability(*confidences(), bins=6)),
}


def spelled(value: Any) -> Any:
    """JSON values, of records without names of fields; numbers have seven digits, for other
    processors differ in the last ones."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [spelled(getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, dict):
        return {str(key): spelled(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return spelled(value.tolist())
    if isinstance(value, list | tuple):
        return [spelled(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.7g}")
    return int(value) if isinstance(value, np.integer) else value


def line(name: str) -> str:
    text = json.dumps(spelled(FIGURES_OF[name]()), ensure_ascii=False)
    return f"{name}: {text}\n"


def recorded() -> Iterator[tuple[str, str]]:
    for found in FIGURES.read_text(encoding="utf-8").splitlines(keepends=True):
        yield found.split(": ")[0], found


NUMBER = re.compile(r"-?\d+\.?\d*(?:e[-+]?\d+)?")


@pytest.mark.parametrize("name", FIGURES_OF)
def test_the_figures_are_those_on_record(name: str) -> None:
    mine, known = line(name), dict(recorded())[name]
    assert NUMBER.sub("#", mine) == NUMBER.sub("#", known)
    numbers = [[float(n) for n in NUMBER.findall(text)] for text in (mine, known)]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-5, abs=1e-9)


if __name__ == "__main__":
    FIGURES.write_text("".join(map(line, FIGURES_OF)), encoding="utf-8")
