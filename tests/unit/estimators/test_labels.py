"""ImageClassifier with a table of labels, as scikit-learn's multilabel classifiers."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.metrics import f1_score
from sklearn.model_selection import cross_val_predict

from striate.errors import InputError
from striate.estimators import ImageClassifier


def bars(num: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Images with up to three bright bars, and which of them are there."""
    draw = np.random.default_rng(4)
    labels = (draw.random((num, 3)) < [0.5, 0.3, 0.15]).astype(np.int64)
    images = draw.integers(0, 90, (num, 6, 5), np.uint8)
    for k in range(3):
        images[:, 2 * k : 2 * k + 2] += (120 * labels[:, k])[:, None, None].astype(np.uint8)
    return images, labels


def test_labels_are_learned_and_scored_as_scikit_learn_does() -> None:
    X, y = bars()
    model = ImageClassifier("linear", epochs=40)
    predicted = cross_val_predict(model, X, y, cv=3)
    assert predicted.shape == y.shape
    assert f1_score(y, predicted, average="macro") > 0.75
    model.fit(X, y)
    assert model.score(X, y) == (model.predict(X) == y).all(axis=1).mean()
    probabilities = model.predict_proba(X)
    assert probabilities.shape == y.shape
    assert not np.allclose(probabilities.sum(axis=1), 1)
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.validation_error_.n == 12


def test_other_forms_of_the_table_are_the_same_model() -> None:
    X, y = bars(60)
    first = ImageClassifier("linear", steps=20).fit(X, y).predict_proba(X)
    for other in (csr_matrix(y), y.astype(bool), y.tolist(), y.astype(np.float64)):
        again = ImageClassifier("linear", steps=20).fit(X, other).predict_proba(X)
        np.testing.assert_array_equal(again, first)


def test_nothing_held_out_means_a_half() -> None:
    X, y = bars(60)
    model = ImageClassifier("linear", steps=20, validation_fraction=0).fit(X, y)
    assert model.validation_error_ is None
    np.testing.assert_array_equal(model.predict(X), model.predict_proba(X) >= 0.5)


def test_classes_after_labels_are_classes_again() -> None:
    X, y = bars(60)
    model = ImageClassifier("linear", steps=20).fit(X, y).fit(X, y[:, 0])
    assert model.predict(X).shape == (60,)


def test_what_does_not_fit_is_told() -> None:
    X, y = bars(60)
    with pytest.raises(InputError, match="pixels-knn tells one class of several"):
        ImageClassifier("pixels-knn").fit(X, y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        ImageClassifier("linear", steps=2).fit(X, y[:50])
    with pytest.raises(InputError, match="softmax_cross_entropy is for one class of several"):
        ImageClassifier(
            "linear", steps=2, settings={"loss": {"name": "softmax_cross_entropy"}}
        ).fit(X, y)
