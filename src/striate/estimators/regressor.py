"""`ImageRegressor`: a network as a scikit-learn regressor."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted

from striate.data.field import Value
from striate.estimators.fitting import Targeted, hold_out
from striate.estimators.network import ImageNetwork
from striate.estimators.reading import as_value_errors, resized, seed_of
from striate.evaluation.mean import mean_interval


@dataclass(eq=False, repr=False)
class ImageRegressor(RegressorMixin, ImageNetwork):
    """One or several numbers for each image, learned by a network.

    X and the arguments are those of `ImageClassifier`; predictors know classes alone.
    `validation_error_` is the mean absolute error on the held-out images with its 95 % interval.

    Example:
        >>> X = np.random.default_rng(0).integers(0, 256, (60, 6, 5), np.uint8)
        >>> model = ImageRegressor("linear", epochs=40).fit(X, X.mean(axis=(1, 2)))
        >>> model.predict(X).shape
        (60,)
    """

    _task: ClassVar[str | None] = "regression"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any) -> "ImageRegressor":
        """Learn from N images X and numbers y, (N,) or (N, T), and return the estimator itself.

        Raises:
            InputError: X, y or a parameter does not fit.
        """
        with self._fitting() as reporter:
            images, y = self._read(X, y, reset=True, multi_output=True, y_numeric=True)
            self._is_single = y.ndim == 1
            values = y.reshape(len(y), -1).astype(np.float64)
            field = Value([f"target {t}" for t in range(values.shape[1])])
            seed = seed_of(self.random_state)
            strata = np.array(field.strata(values)[0])
            train, held = hold_out(strata, self.validation_fraction, seed)
            everything = Targeted(images, values, field)
            with self._lines_explained():
                rows = self._train(everything.take(train), everything.take(held), seed, reporter)
            errors = np.abs(rows["predicted value"] - rows["value"]).mean(axis=1)
            self.validation_error_ = mean_interval(errors) if len(held) else None
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Numbers (N,) or (N, T) float64, as y was."""
        check_is_fitted(self)
        with as_value_errors():
            images = resized(self._read(X, reset=False)[0], self._spec)
            values = self._outputs(images)["value"]
        return values[:, 0] if self._is_single else values
