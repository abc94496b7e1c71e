"""The chance that a label is wrong: against integrals and against labels of known errors."""

import numpy as np
import pytest
from scipy.integrate import trapezoid

from striate.inspection.doubt import probability_wrong
from striate.inspection.label_error import suspects


def integrals(p: np.ndarray, labels: np.ndarray, *, broken: bool = False) -> np.ndarray:
    """The same averages over log T and ν on a far finer grid, in plain arithmetic."""
    prior = (np.bincount(labels, minlength=p.shape[1]) / len(labels))[labels]
    # Half a step beyond the outermost of 19 exponents from 1/2 to 32.
    half = np.log(64) / 36
    log_t = np.linspace(np.log(0.5) - half, np.log(32) + half, 301)[:, None, None]
    v = np.linspace(0, 0.5, 1001)[None, :, None]
    raised = p ** np.exp(log_t)
    own = (raised[:, np.arange(len(labels)), labels] / raised.sum(2))[:, None]
    mixed = (1 - v) * own + v * prior
    weight = mixed.prod(2) * (1 - v[..., 0]) ** 18
    wrong = v * prior / mixed * (1 - (prior if broken else own))

    def whole(values: np.ndarray) -> np.ndarray:
        return trapezoid(trapezoid(values, v[0, :, 0], axis=1), log_t[:, 0, 0], axis=0)

    return whole(weight[..., None] * wrong) / whole(weight)


def test_chances_are_averages_over_what_is_not_known() -> None:
    p = np.array(
        [
            [0.9, 0.07, 0.03],
            [0.75, 0.15, 0.1],
            [0.2, 0.7, 0.1],
            [0.05, 0.05, 0.9],
            [0.96, 0.03, 0.01],
        ]
    )
    labels = np.array([0, 0, 1, 2, 1])
    expected = integrals(p, labels)
    # Forty shares and nineteen exponents stand for all of them.
    np.testing.assert_allclose(probability_wrong(p, labels), expected, rtol=0.03)
    # The twin: a blind label is wrong by the answer, not by how often its class is given.
    assert np.abs(integrals(p, labels, broken=True) / expected - 1).max() > 0.2


@pytest.mark.parametrize("blind", [0.0, 0.02, 0.15])
def test_as_many_labels_are_wrong_as_are_said_to_be(blind: float) -> None:
    draw = np.random.default_rng(7)
    num, prior = 6000, np.array([0.55, 0.3, 0.1, 0.05])
    truth = draw.choice(4, num, p=prior)
    answers = np.log(prior) + draw.normal(size=(num, 4)) + 5 * np.eye(4)[truth]
    p = np.exp(answers) / np.exp(answers).sum(1, keepdims=True)
    # Labels as the classifier answers, so that its own errors are honest ones.
    truth = (p.cumsum(1) > draw.random((num, 1))).argmax(1)
    share = np.bincount(truth, minlength=4) / num
    labels = np.where(draw.random(num) < blind, draw.choice(4, num, p=share), truth)
    wrong = labels != truth
    # Probabilities that are too blunt by half: the exponent has to mend that.
    blunt = np.sqrt(p) / np.sqrt(p).sum(1, keepdims=True)
    doubt = probability_wrong(blunt, labels)
    # In all, and among those that are named.
    for some in (doubt >= 0, doubt > 0.3):
        deviation = np.sqrt((doubt * (1 - doubt))[some].sum() + 1)
        assert abs(doubt[some].sum() - wrong[some].sum()) < 4 * deviation
    if blind:
        assert wrong[doubt > 0.3].sum() > 0.5 * wrong.sum()


def test_the_list_is_ordered_cut_and_summed() -> None:
    labels = np.array([0, 1] * 30)
    p = np.where(np.eye(2)[labels] > 0, 0.97, 0.03)
    labels[[4, 11]] = [1, 0]
    p[4] = [0.999, 0.001]
    found = suspects(p, labels)
    assert found.items.tolist() == [4, 11]
    assert found.likely.tolist() == [0, 1]
    assert found.confident.all()
    assert found.num_confident == 2
    assert found.expected == pytest.approx(probability_wrong(p, labels)[[4, 11]].sum())
    assert found.share == pytest.approx(probability_wrong(p, labels).mean())
    assert len(suspects(p, labels, least=0.999).items) == 0


def test_a_classifier_that_knows_nothing_convicts_nobody() -> None:
    draw = np.random.default_rng(1)
    p = draw.dirichlet(np.full(5, 20.0), 900)
    labels = draw.integers(0, 5, 900)
    assert len(suspects(p, labels).items) == 0
    # Confident learning alone names many of these.
    assert suspects(p, labels).num_confident > 200
