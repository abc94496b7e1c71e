import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from striate.evaluation.chart import Series, line_chart, reliability_chart, thinned, ticks
from striate.evaluation.classification.calibration import reliability

FALLING = [(0.0, 2.3), (10.0, 0.7), (20.0, 0.02)]


@pytest.mark.parametrize("seed", range(20))
def test_ticks_are_few_round_inside_and_even(seed):
    chance = np.random.default_rng(seed)
    low = float(chance.normal() * 10.0 ** chance.integers(-3, 4))
    high = low + float(chance.uniform(0.1, 9) * 10.0 ** chance.integers(-2, 5))
    marks = ticks(low, high)
    assert 2 <= len(marks) <= 6
    assert all(low - 1e-6 * abs(low) <= mark <= high + 1e-6 * abs(high) for mark in marks)
    steps = np.diff(marks)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
    mantissa = steps[0] / 10 ** math.floor(math.log10(steps[0]) + 1e-9)
    assert min(abs(mantissa - good) for good in (1, 2, 5, 10)) < 1e-6


def test_logarithmic_ticks_thin_out_over_many_decades():
    assert ticks(1e-6, 10.0, log=True) == [1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0]


def test_thinning_keeps_the_mean_and_drops_what_is_not_finite():
    points = [(float(i), float(i * i)) for i in range(1000)]
    few = thinned(points, most=100)
    assert len(few) == 100
    assert sum(y for _, y in few) / 100 == pytest.approx(sum(y for _, y in points) / 1000)
    assert thinned([(0.0, math.nan), (1.0, 2.0), (2.0, math.inf)]) == [(1.0, 2.0)]


def test_a_chart_is_well_formed_and_names_its_axes_and_values():
    chart = line_chart(
        [Series("a <b> & c", "accent", FALLING, band=[(10.0, 0.5, 0.9)], dots=True)],
        x_label="step",
        y_label="loss",
    )
    root = ET.fromstring(str(chart))
    texts = [element.text for element in root.iter("text")]
    assert "step" in texts
    assert "loss, logarithmic" in texts
    titles = [element.text for element in root.iter("title")]
    assert titles[1] == "a <b> & c: 0.7 [0.5, 0.9] at step 10"


def test_everything_drawn_lies_inside_the_frame():
    series = [Series("error", "second", FALLING, band=[(x, y / 2, 2 * y) for x, y in FALLING])]
    chart = line_chart(series, x_label="step", y_label="error", zero=True)
    root = ET.fromstring(str(chart))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for circle in root.iter("circle"):
        assert 0 <= float(circle.attrib["cx"]) <= width
        assert 0 <= float(circle.attrib["cy"]) <= height
    band = next(e.attrib["d"] for e in root.iter("path") if "fill-opacity" in e.attrib)
    ys = [float(pair.split()[1]) for pair in re.findall(r"[\d.-]+ [\d.-]+", band)]
    assert min(ys) >= 0
    assert max(ys) <= height


@pytest.mark.parametrize(
    "points", [[(3.0, 0.0)], [(3.0, 5.0), (3.0, 5.0)], [(0.0, -1.0), (1.0, -1.0)]]
)
def test_degenerate_curves_still_draw(points):
    for zero in (True, False):
        chart = line_chart([Series("a", "accent", points)], x_label="x", y_label="y", zero=zero)
        assert "nan" not in str(chart)
        ET.fromstring(str(chart))


@pytest.mark.parametrize(
    ("lowest", "highest"), [(0.0, 0.004), (2.302585, 2.302586), (0.0, 1.0), (1e-9, 3e-9)]
)
def test_the_name_of_an_axis_stands_beside_its_labels(lowest, highest):
    """Measured with a font whose digits are 0.56 of its height wide, as those of most are."""
    points = [(0.0, lowest), (1.0, highest)]
    chart = line_chart([Series("a", "accent", points)], x_label="step", y_label="loss")
    root = ET.fromstring(str(chart))
    texts = list(root.iter("text"))
    title = next(text for text in texts if text.text == "loss")
    baseline = float(re.search(r"translate\(([\d.]+)", title.attrib["transform"])[1])
    labels = [text for text in texts if text.attrib.get("text-anchor") == "end"]
    for label in labels:
        width = sum(3.1 if sign in ".," else 6.2 for sign in label.text)
        assert float(label.attrib["x"]) - width >= baseline + 3  # below the line: as in "g"


def test_nothing_to_draw_is_an_empty_chart():
    assert line_chart([Series("a", "accent", [])], x_label="x", y_label="y") == ""


def test_the_reliability_diagram_has_a_bar_for_each_bin_that_has_items():
    confidence = np.array([0.31, 0.35, 0.95, 1.0])
    bins = reliability(confidence, np.array([True, False, True, True]), bins=10)
    root = ET.fromstring(str(reliability_chart(bins)))
    assert len(list(root.iter("rect"))) == 2
    assert [item.count for item in bins if item.count] == [2, 2]


@pytest.mark.parametrize(
    "losses",
    [
        (2.3026, 2.3031),
        (2.302585, 2.302591),
        (2.3025850, 2.3025851),
        (2.3025850, 2.3025850),
        (-7.00012, -7.00009),
        (1000.21, 1001.13),
        (1e-9, 1.0001e-9),
        (0.00071, 123.0),
        (0.0, 0.0),
    ],
)
def test_no_two_ticks_of_an_axis_read_the_same(losses):
    """As after one step, where the training and the validation loss are all but equal."""
    train, validation = losses
    series = [
        Series("training loss", "soft", [(1.0, train)]),
        Series("validation loss", "accent", [(1.0, validation)], dots=True),
    ]
    chart = line_chart(series, x_label="step", y_label="loss", x_range=(0.0, 1.0))
    texts = list(ET.fromstring(str(chart)).iter("text"))
    upward = [text.text for text in texts if text.attrib.get("text-anchor") == "end"]
    assert len(upward) >= 2
    assert len(set(upward)) == len(upward)
    # What is read is where it stands: evenly spaced labels, not the same rounded twice.
    assert [float(label.replace(",", "")) for label in upward] == sorted(
        float(label.replace(",", "")) for label in upward
    )
    assert max(map(len, upward)) <= 9
