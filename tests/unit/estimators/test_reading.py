"""All forms in which images are handed over give the same answers, and wrong ones say why."""

import numpy as np
import pytest
import torch
from PIL import Image

from striate.errors import InputError, StriateError
from striate.estimators import HoG, ImageClassifier
from striate.estimators.fitting import hold_out


@pytest.fixture(scope="module")
def stripes():
    """Upright and lying stripes, (40, 14, 11, 3)."""
    draw = np.random.default_rng(3)
    labels = np.arange(40) % 2
    images = draw.integers(0, 120, (40, 14, 11, 3), np.uint8)
    images[labels == 0, ::2] += 100
    images[labels == 1, :, ::2] += 100
    return images, np.array(["lying", "upright"])[labels]


def model(**given):
    return ImageClassifier({"name": "hog-svm", "cell": 4, "c": 0.01}, **given)


def test_all_forms_are_the_same_images(stripes, tmp_path):
    X, y = stripes
    fitted = model().fit(X, y)
    p = fitted.predict_proba(X)
    assert fitted.score(X, y) == 1
    assert fitted.n_features_in_ == 14 * 11 * 3
    assert fitted.image_shape_ == (14, 11, 3)
    paths = []
    for place, image in enumerate(X):
        paths.append(tmp_path / f"{place}.png")
        Image.fromarray(image).save(paths[-1])
    shape = {"image_shape": (14, 11, 3)}
    np.testing.assert_array_equal(fitted.predict_proba(torch.from_numpy(X)), p)
    np.testing.assert_array_equal(fitted.predict_proba(X.reshape(40, -1)), p)
    for other in (X.reshape(40, -1), paths, list(map(str, paths)), [*map(Image.open, paths)]):
        np.testing.assert_array_equal(model(**shape).fit(other, y).predict_proba(other), p)
    np.testing.assert_array_equal(model().fit(list(X), y).predict_proba(list(X)), p)
    # Fractions over the whole range become the same levels.
    whole = X.copy()
    whole[0, 0, 0], whole[1, 0, 0] = 0, 255
    a = model().fit(whole, y).predict_proba(whole)
    np.testing.assert_array_equal(model().fit(whole / 255, y).predict_proba(whole / 255), a)


def test_grey_images_have_no_channel_axis(stripes):
    X, y = stripes[0][..., 0], stripes[1]
    assert model().fit(X, y).image_shape_ == (14, 11, 1)
    np.testing.assert_array_equal(
        model().fit(X, y).predict_proba(X), model().fit(X[..., None], y).predict_proba(X)
    )


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda X: X.transpose(0, 3, 1, 2), r"channels come first: use X.transpose\(0, 2, 3, 1\)"),
        (lambda X: X[..., :2], r"accepted: \(N, H, W\)"),
        (lambda X: [X[0], X[1, :9], *X[2:]], "2 different shapes.*image_shape"),
        (lambda X: ["a.png"] * 40, "image_shape=.height, width"),
        (lambda X: X[:0], "0 sample"),
        (lambda X: X[:30], "inconsistent numbers of samples"),
        (lambda X: X.reshape(40, -1), "hold 0 × 115 cells.*Rows without image_shape"),
    ],
)
def test_wrong_images_are_value_errors(stripes, spoil, said):
    with pytest.raises(ValueError, match=said):
        model().fit(spoil(stripes[0]), stripes[1])


def test_other_images_than_those_of_fit_are_refused(stripes):
    X, y = stripes
    fitted = model().fit(X, y)
    with pytest.raises(InputError, match="fitted on images of 14 × 11 × 3"):
        fitted.predict(X.transpose(0, 2, 1, 3))
    with pytest.raises(InputError, match=r"all in 0\.\.1, or all in"):
        fitted.predict(X / 255)
    with pytest.raises(InputError, match=r"all in 0\.\.1, or all in"):
        model().fit(X / 255, y).predict(X)


def test_broken_files_are_named_together(stripes, tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_text("no image")
    paths = [tmp_path / "a.png", tmp_path / "b.png"] * 20
    with pytest.raises(InputError, match=r"a\.png.*b\.png.*And 35 more"):
        model(image_shape=(8, 8)).fit(paths, stripes[1])


@pytest.mark.parametrize("shape", [(8,), (8, 8, 2), "big", (0, 8), 8])
def test_a_shape_that_is_none(stripes, shape):
    X = stripes[0].reshape(40, -1)
    estimator = HoG()
    estimator.image_shape = shape
    with pytest.raises(InputError, match=r"image_shape=.*accepted"):
        estimator.fit(X)
    with pytest.raises(InputError, match="needs 64, row by row"):
        model(image_shape=(8, 8)).fit(X, stripes[1])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"network": "lenet6"}, "Did you mean 'lenet5'"),
        ({"network": {"name": "hog-svm", "cells": 3}}, "Did you mean 'cell'"),
        ({"network": "hog-svm", "epochs": 3}, "leave out epochs"),
        ({"settings": {"data": {"groups": "x"}}}, "data.groups cannot be set here"),
        ({"settings": {"training": {"epochs": 1}}}, "training.epochs cannot be set here"),
        ({"network": "linear", "steps": 0}, "must be above zero"),
        ({"network": "linear", "validation_fraction": 1.0}, "below 1"),
        ({"random_state": -1}, "0 or more"),
    ],
)
def test_wrong_parameters_are_value_errors(stripes, given, said):
    with pytest.raises(ValueError, match=said) as error:
        ImageClassifier(**given).fit(*stripes)
    assert isinstance(error.value, StriateError)


def test_one_class_is_none(stripes):
    with pytest.raises(InputError, match="one class, 'lying'"):
        model().fit(stripes[0], ["lying"] * 40)


def test_shares_are_held_out_of_each_class():
    labels = np.repeat([0, 1, 2], [50, 20, 3])
    train, held = hold_out(labels, 0.2, seed=5)
    assert np.bincount(labels[held]).tolist() == [10, 4, 1]
    np.testing.assert_array_equal(np.sort([*train, *held]), np.arange(73))
    assert not np.array_equal(held, hold_out(labels, 0.2, seed=6)[1])
