"""`ImageRegressor`: shapes, units, held-out images, repetition, what is refused."""

import pickle

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_score

from striate.errors import InputError
from striate.estimators import ImageRegressor

SETTINGS = {
    "loss": {"name": "l2"},
    "optimiser": {"name": "adamw", "lr": 0.05, "weight_decay": 0.0},
    "execution": {"threads": 1},
}


def pictures(n: int = 240) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).integers(0, 256, (n, 4, 3), dtype=np.uint8)
    return X, 1000 + X[:, :2].mean(axis=(1, 2)) / 100


def regressor(**parameters: object) -> ImageRegressor:
    return ImageRegressor("linear", steps=200, settings=SETTINGS, **parameters)


def test_a_linear_network_finds_the_linear_fit() -> None:
    X, y = pictures()
    model = regressor(validation_fraction=0.0).fit(X[:200], y[:200])
    exact = LinearRegression().fit(X[:200].reshape(200, -1), y[:200])
    expected = exact.predict(X[200:].reshape(40, -1))
    assert np.abs(model.predict(X[200:]) - expected).max() < 0.05 * y.std()
    assert model.score(X[200:], y[200:]) > 0.99
    assert model.validation_error_ is None
    assert not [event for event in model.history_ if event["event"] == "validation"]


def test_several_numbers_and_the_error_of_held_out_images() -> None:
    X, y = pictures()
    both = np.stack([y, -5 * y], axis=1)
    model = regressor().fit(X, both)
    assert model.predict(X[:7]).shape == (7, 2)
    assert model.predict(X[:7]).dtype == np.float64
    error = model.validation_error_
    assert 0 < error.low < error.value < error.high < np.abs(both - both.mean(axis=0)).mean()
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(X[:7]), model.predict(X[:7]))
    assert np.array_equal(regressor().fit(X, both).predict(X[:7]), model.predict(X[:7]))


@pytest.mark.slow
def test_it_is_cross_validated_by_scikit_learn() -> None:
    X, y = pictures(120)
    assert cross_val_score(regressor(), X, y, cv=3).min() > 0.9


@pytest.mark.parametrize(
    ("y", "told"),
    [
        (["a", "b"] * 5, "could not convert string to float"),
        ([1.0, np.nan] * 5, "NaN"),
        (np.zeros((10, 2, 2)), "dim 3"),
        ([1.0] * 9, "inconsistent numbers of samples"),
    ],
)
def test_what_is_no_target(y: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        regressor().fit(pictures(10)[0], y)


def test_a_predictor_of_classes_is_refused() -> None:
    X, y = pictures(30)
    with pytest.raises(InputError, match="no network named 'pixels-knn'"):
        ImageRegressor("pixels-knn").fit(X, y)
    with pytest.raises(InputError, match="task cannot be set here"):
        ImageRegressor("linear", settings={"task": "classification"}).fit(X, y)
