"""The estimators inside scikit-learn's tools, against scikit-learn's own numbers."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from striate.estimators import BagOfWords, HoG, ImageClassifier

FAST = {"optimiser": {"name": "adamw", "lr": 0.02}, "augmentation": []}


@pytest.fixture(scope="module")
def digits():
    found = load_digits()
    return train_test_split(found.images, found.target, random_state=1, stratify=found.target)


def linear(**given):
    return ImageClassifier("linear", **{"epochs": 10, "settings": FAST, **given})


def test_softmax_on_pixels_is_scikit_learns(digits):
    train, test, y, truth = digits
    own = ImageClassifier({"name": "pixels-softmax", "c": 0.02}).fit(train, y)
    # 0..16 as 256 levels, which standardising undoes but for the rounding to whole levels.
    levels = [np.rint(part.reshape(len(part), -1) * (255 / 16)) for part in (train, test)]
    other = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=200, tol=1e-3))
    p = other.fit(levels[0], y).predict_proba(levels[1])
    np.testing.assert_allclose(own.predict_proba(test), p, atol=2e-3)
    assert own.score(test, truth) == pytest.approx(other.score(levels[1], truth), abs=1 / 450)
    twin = make_pipeline(StandardScaler(), LogisticRegression(C=0.2, max_iter=200, tol=1e-3))
    assert np.abs(twin.fit(levels[0], y).predict_proba(levels[1]) - p).max() > 0.05


@pytest.mark.slow
def test_a_linear_network_is_as_good_as_logistic_regression(digits):
    train, test, y, truth = digits
    own = linear(epochs=20).fit(train, y)
    flat = [part.reshape(len(part), -1) / 16 for part in (train, test)]
    other = LogisticRegression(max_iter=500).fit(flat[0], y)
    # Three standard deviations of the difference of two paired shares of 450 are about 0.02.
    assert own.score(test, truth) >= other.score(flat[1], truth) - 0.02
    assert own.validation_error_.n == pytest.approx(0.1 * len(y), abs=6)


def test_the_same_seed_gives_the_same_bits_and_another_one_others(digits):
    train, test, y = digits[0][:400], digits[1], digits[2][:400]
    p = [linear(epochs=1, random_state=s).fit(train, y).predict_proba(test) for s in (4, 4, 5)]
    np.testing.assert_array_equal(p[0], p[1])
    assert not np.allclose(p[0], p[2])
    again = [
        clone(linear(epochs=1, random_state=np.random.RandomState(7))).fit(train, y).predict(test)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*again)


def test_a_pickle_answers_alike(digits):
    train, test, y, _ = digits
    fitted = ImageClassifier("lenet5", steps=2).fit(train, y)
    restored = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(restored.predict_proba(test), fitted.predict_proba(test))


def test_the_planner_chooses(digits):
    train, test, y, truth = digits
    fitted = ImageClassifier(epochs=1).fit(train[:300], y[:300])
    assert fitted.chosen_["network"].startswith("airbench")
    assert fitted.score(test, truth) > 0.3
    assert fitted.n_iter_ > 0
    assert {event["event"] for event in fitted.history_} >= {"step", "validation"}
    lines = ImageClassifier(steps=2).fit(train[:200].reshape(200, -1), y[:200])
    assert lines.chosen_["network"] == "mlp"


def test_without_held_out_images_all_are_learned_from(digits):
    train, _, y, _ = digits
    fitted = linear(validation_fraction=0, epochs=1).fit(train, y)
    assert fitted.validation_error_ is None
    assert all(event["event"] != "validation" for event in fitted.history_)


def test_grids_folds_and_pipelines(digits):
    train, test, y, truth = digits
    choices = ["pixels-knn", {"name": "pixels-softmax", "c": 1e-6}]
    grid = GridSearchCV(ImageClassifier(), {"network": choices}, cv=2).fit(train[:700], y[:700])
    assert grid.best_params_ == {"network": "pixels-knn"}
    assert grid.score(test, truth) > 0.93
    assert cross_val_score(linear(epochs=4), train[:600], y[:600], cv=2).min() > 0.7
    hogs = make_pipeline(HoG(cell=2), LinearSVC(C=0.1)).fit(train, y)
    assert hogs.score(test, truth) > 0.95
    words = make_pipeline(BagOfWords(20, step=1, bin_size=1, levels=(1, 2)), LinearSVC(C=10.0))
    assert words.fit(train[:400], y[:400]).score(test, truth) > 0.7
    assert words[0].get_feature_names_out()[0] == "bagofwords0"
