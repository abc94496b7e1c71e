"""`ImageClassifier`: a network, or a classical predictor, as a scikit-learn classifier."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from striate.classical import PREDICTORS
from striate.classical.predictor import Predictor
from striate.data import ImageSpec
from striate.data.field import Category, Labels
from striate.data.stratify import stratify
from striate.errors import ConfigError, InputError
from striate.estimators.fitting import Targeted, check_fraction, hold_out
from striate.estimators.network import ImageNetwork
from striate.estimators.reading import as_value_errors, resized, seed_of
from striate.evaluation import Scaling, wilson
from striate.evaluation.classification.temperature import fit_temperature
from striate.evaluation.several import best_thresholds
from striate.registry import Pick
from striate.terminal import Reporter


@dataclass(eq=False, repr=False)
class ImageClassifier(ClassifierMixin, ImageNetwork):
    """Classes or labels of images, learned by a network or by a classical predictor.

    y (N,) holds one class for each image; y (N, K) of 0 and 1 any number of K labels, as
    scikit-learn's multilabel classifiers take it, which is for networks alone.

    X is an array (N, H, W), (N, H, W, 1) or (N, H, W, 3); flat rows (N, F), with `image_shape` if
    they are images, without it if they are not (they are lines one pixel high then); or a list of
    files, Pillow's images or arrays of any size, with `image_shape`. What is not uint8 is brought
    to 256 levels over the range of the training values.

    Args:
        network: Name of `striate list networks` or `striate list predictors`; such a name with
            arguments, {"name": "mlp", "hidden": [30]}; None: the planner chooses, for lines a
            perceptron.
        epochs, steps, minutes: Length; the shortest holds. Only for networks. `minutes` depends
            on the speed of the machine. None: the planner's choice of epochs, within ten minutes,
            and of widths that this machine is fast enough for; to compare candidates, or for the
            same numbers at each fit, set `epochs` or `steps`.
        settings: Any other setting of a training, nested: {"optimiser": {"lr": 0.01}}.
        image_shape: Shape (H, W) or (H, W, C) of flat rows and of files.
        validation_fraction: Share of each class held out to choose the hyper-parameter of a
            predictor and to fit the temperature of the probabilities; 0: none.
        random_state: Random seed: a number, None or a `RandomState`.
        verbose: Whether to show decisions and the progress of the training.

    Attributes:
        classes_: Classes (K,), or the numbers of the labels.
        n_features_in_: Numbers of an image.
        image_shape_: Shape (H, W, C) of the images.
        value_range_: Values that became 0 and 255.
        network_: Trained `torch.nn.Module`, on the CPU; None for a predictor.
        chosen_: Decisions {what: value}, by the planner or on the held-out images.
        history_: Events of the training, curves among them.
        n_iter_: Steps of the optimiser; 0 for a predictor.
        validation_error_: Share of held-out images whose class, or any of whose labels, is wrong,
            with its 95 % interval; None where none were held out.

    Raises:
        InputError: a `ValueError`; what is wrong, what is accepted, what to do.

    Example:
        >>> draw = np.random.default_rng(0)
        >>> X = draw.integers(0, 256, (60, 6, 5), np.uint8)
        >>> X[::2, :3] //= 4
        >>> model = ImageClassifier("linear", epochs=20).fit(X, ["dark", "light"] * 30)
        >>> model.predict(X[:3]).tolist()
        ['dark', 'light', 'dark']
    """

    def fit(self, X: Any, y: Any) -> "ImageClassifier":
        """Learn, and return the estimator itself.

        Args:
            X: N images.
            y: Classes (N,), numbers or names; or labels (N, K), 0 or 1.

        Raises:
            InputError: X, y or a parameter does not fit.
        """
        self._thresholds: np.ndarray | None = None
        if _are_labels(y):
            return self._fit_labels(X, y)
        with self._fitting() as reporter:
            images, y = self._read(X, y, reset=True)
            check_classification_targets(y)
            self.classes_, labels = np.unique(y, return_inverse=True)
            if len(self.classes_) < 2:
                only = self.classes_.tolist()[0]
                raise InputError(f"y has one class, {only!r}; a classifier needs two or more.")
            field = Category([str(label) for label in range(len(self.classes_))])
            with self._lines_explained():
                self._learn(Targeted(images, labels.astype(np.int64), field), reporter)
        return self

    def _fit_labels(self, X: Any, y: Any) -> "ImageClassifier":
        with self._fitting() as reporter:
            images, _ = self._read(X, reset=True)
            y = np.asarray(y.toarray() if hasattr(y, "toarray") else y).astype(np.int8)
            check_consistent_length(images, y)
            if self._asked_name in PREDICTORS:
                raise ConfigError(
                    f"{self._asked_name} tells one class of several; for labels (N, K) choose a "
                    "network: striate list networks."
                )
            self.classes_ = np.arange(y.shape[1])
            field = Labels([str(label) for label in self.classes_])
            everything = Targeted(images, y, field)
            seed, fraction = seed_of(self.random_state), self.validation_fraction
            check_fraction(fraction)
            draw = np.random.default_rng(seed).permutation(len(y)).tolist()
            items = [[i] for i in range(len(y))]
            parts = stratify(items, field.strata(y)[0], [1 - fraction, fraction], draw.__getitem__)
            train, held = (np.flatnonzero(np.array(parts) == part) for part in (0, 1))
            with self._lines_explained():
                rows = self._train(
                    everything.take(train), everything.take(held), seed, reporter, task="labels"
                )
            self.validation_error_ = None
            self._thresholds = np.full(y.shape[1], 0.5)
            if len(held):
                self._thresholds = best_thresholds(rows["probabilities"], rows["labels"])
                wrong = (rows["probabilities"] >= self._thresholds) != rows["labels"]
                self.validation_error_ = wilson(int(wrong.any(1).sum()), len(held))
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = self._asked_name not in PREDICTORS
        return tags

    def predict(self, X: Any) -> np.ndarray:
        """(N,) the most probable class of each image; or (N, K) 1 for each label that it has.

        A label is there from the probability that gave the best F1 on the held-out images, or
        from a half where none were held out.
        """
        check_is_fitted(self)
        if self._thresholds is not None:
            present: np.ndarray = (self.predict_proba(X) >= self._thresholds).astype(np.int64)
            return present
        predicted: np.ndarray = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return predicted

    def predict_proba(self, X: Any) -> np.ndarray:
        """(N, K) float64 probabilities of the classes in the order of `classes_`, or of labels.

        Those of classes are calibrated where images were held out.
        """
        check_is_fitted(self)
        with as_value_errors():
            images, _ = self._read(X, reset=False)
            images = resized(images, self._spec)
            if self.network_ is None:
                probabilities = self._predictor.probabilities(images, self._arrays)
            else:
                probabilities = self._outputs(images)["probabilities"]
        return probabilities if self._thresholds is not None else self._scaling(probabilities)

    def _learn(self, everything: Targeted, reporter: Reporter) -> None:
        seed = seed_of(self.random_state)
        if self._asked_name in PREDICTORS:
            self._fit_predictor(everything, Pick.from_json(self.network), seed)
            return
        train, held = hold_out(everything.targets, self.validation_fraction, seed)
        rows = self._train(everything.take(train), everything.take(held), seed, reporter)
        self._conclude(rows["probabilities"], everything.targets[held])

    def _fit_predictor(self, everything: Targeted, pick: Pick, seed: int) -> None:
        unsuited = [key for key, value in self._lengths.items() if value is not None]
        unsuited += ["settings"] if self.settings else []
        problems = [f"{pick.name} is fitted in one piece: leave out {key}." for key in unsuited]
        problems += PREDICTORS.problems(pick)
        if problems:
            raise ConfigError(problems)
        self._predictor: Predictor = PREDICTORS.build(pick)
        height, width, channels = everything.images.shape[1:]
        size = self._predictor.input_size(height, width)
        self._spec = ImageSpec(size, 1 if self._predictor.grey or channels == 1 else 3)
        everything = replace(everything, images=resized(everything.images, self._spec))
        train, held = everything, everything.take(slice(0))
        if self._predictor.chooses(size):  # else it learns from all images
            both = hold_out(everything.targets, self.validation_fraction, seed)
            train, held = (everything.take(index) for index in both)
        validation = held if len(held) else train
        learned = self._predictor.fit(
            (train.images, train.targets),
            (validation.images, validation.targets),
            len(self.classes_),
            seed=seed,
        )
        self._arrays, self.network_, self.n_iter_, self.history_ = learned.arrays, None, 0, []
        self.chosen_ = {"predictor": pick.name, "chosen": ", ".join(learned.chosen)}
        probabilities = None
        if len(held):
            probabilities = self._predictor.probabilities(held.images, self._arrays)
        self._conclude(probabilities, held.targets)

    def _conclude(self, probabilities: np.ndarray | None, labels: np.ndarray) -> None:
        """Keep the error and the temperature that the held-out images show."""
        self.validation_error_, self._scaling = None, Scaling()
        if probabilities is not None and len(probabilities):
            wrong = int((probabilities.argmax(axis=1) != labels).sum())
            self.validation_error_ = wilson(wrong, len(labels))
            self._scaling = fit_temperature(probabilities, labels)


def _are_labels(y: Any) -> bool:
    """Whether targets are a table of 0 and 1 (N, K)."""
    try:
        table = np.asarray(y.toarray() if hasattr(y, "toarray") else y)
    except ValueError:
        return False  # reported with all that does not fit
    is_table = table.ndim == 2 and table.shape[1] > 1 and table.dtype.kind in "biuf"
    return is_table and bool(np.isin(table, (0, 1)).all())
