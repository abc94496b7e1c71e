"""Classifiers of rows against scikit-learn and against hand-made neighbours."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from striate.classical.classifier import LinearSVM, Neighbours, Rows, Softmax


def rows(seed: int, num: int, classes: int = 3) -> Rows:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, classes, num)
    centres = np.array([[0, 0, 4, 1, 0], [3, 0, 0, 0, 1], [0, 5, 0, 1, 1]], float)[:classes]
    x = centres[labels] + draw.normal(0, 1.2, (num, 5)) * [1, 10, 1, 1, 0]
    return Rows(x.astype(np.float32), labels)


@pytest.mark.parametrize("classes", [2, 3])
def test_softmax_is_scikit_learns(classes):
    train, other = rows(1, 70, classes), rows(2, 31, classes)
    classifier = Softmax((0.3,))
    fitted = classifier.fit(train, other, classes, 0)
    scores = classifier.scores(other.features, fitted.arrays)
    scaler = StandardScaler().fit(train.features)
    model = LogisticRegression(C=0.3, max_iter=200, tol=1e-3)
    model.fit(scaler.transform(train.features), train.labels)
    wanted = model.decision_function(scaler.transform(other.features))
    if classes == 2:
        np.testing.assert_allclose(scores[:, 1], wanted, atol=1e-3)
    else:
        np.testing.assert_allclose(scores, wanted, atol=1e-3)
    assert fitted.wrong == int((scores.argmax(1) != other.labels).sum()) < 31 / 3


def test_the_value_with_the_fewest_wrong_is_kept():
    train, other = rows(1, 70), rows(2, 31)
    wrong = {c: LinearSVM((c,)).fit(train, other, 3, 0).wrong for c in (1e-6, 1e-2, 1.0)}
    best = LinearSVM(tuple(wrong)).fit(train, other, 3, 0)
    assert best.wrong == min(wrong.values()) < max(wrong.values())
    assert best.chosen == f"C = {min(wrong, key=wrong.__getitem__):g}"


def test_a_class_without_rows_is_never_the_answer():
    train, other = rows(1, 70), rows(2, 31)
    classifier = LinearSVM((0.1,))
    fitted = classifier.fit(train, other, 4, 0)
    assert set(classifier.scores(other.features, fitted.arrays).argmax(1)) == {0, 1, 2}


def test_neighbours_are_the_nearest():
    train, other = rows(3, 40), rows(4, 9)
    classifier = Neighbours((4,))
    arrays = classifier.fit(train, other, 3, 0).arrays
    distance = np.linalg.norm(other.features[:, None] - train.features, axis=2)
    nearest = np.argsort(distance, axis=1)[:, :4]
    np.testing.assert_array_equal(classifier.nearest(other.features, arrays, 4), nearest)
    votes = np.stack([np.bincount(train.labels[near], minlength=3) for near in nearest])
    shares = np.exp(classifier.scores(other.features, arrays))
    np.testing.assert_allclose(shares, (votes + 1 / 3) / 5, atol=1e-5)


def test_bytes_are_kept_as_bytes_and_fractions_are_not():
    labels = np.array([0, 1])
    for x, kind in (
        (np.array([[0, 255], [7, 9]]), np.uint8),
        (np.array([[0.5, 1]] * 2), np.float32),
    ):
        data = Rows(x.astype(np.float32), labels)
        assert Neighbours((1,)).fit(data, data, 2, 0).arrays["features"].dtype == kind


def test_of_equal_votes_the_nearer_voter_wins():
    train = Rows(np.array([[0.0], [3.0]], np.float32), np.array([0, 1]))
    other = Rows(np.array([[1.0], [2.0]], np.float32), np.array([0, 1]))
    assert Neighbours((2,)).fit(train, other, 2, 0).wrong == 0
