"""`ImageClassifier`: a network, or a classical predictor, as a scikit-learn classifier."""

import copy
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from torch import nn

from striate.classical import PREDICTORS
from striate.classical.predictor import Predictor
from striate.data import ImageSpec
from striate.errors import ConfigError, InputError
from striate.estimators import fitting
from striate.estimators.fitting import Labelled
from striate.estimators.reading import ImageInput, as_value_errors, resized, seed_of
from striate.evaluation import Scaling, wilson
from striate.evaluation.classification.temperature import fit_temperature
from striate.execution import Execution
from striate.registry import Pick
from striate.settings import Settings, merge
from striate.terminal import Reporter, Terminal
from striate.training.assemble import whole
from striate.training.events import Event
from striate.training.inference import infer


@dataclass(eq=False, repr=False)
class ImageClassifier(ImageInput, ClassifierMixin, BaseEstimator):
    """Classes of images, learned by a network or by a classical predictor.

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
        classes_: Classes (K,).
        n_features_in_: Numbers of an image.
        image_shape_: Shape (H, W, C) of the images.
        value_range_: Values that became 0 and 255.
        network_: Trained `torch.nn.Module`, on the CPU; None for a predictor.
        chosen_: Decisions {what: value}, by the planner or on the held-out images.
        history_: Events of the training, curves among them.
        n_iter_: Steps of the optimiser; 0 for a predictor.
        validation_error_: Share of wrong predictions on the held-out images with its 95 %
            interval; None where none were held out.

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

    network: str | Mapping[str, Any] | None = None
    _: KW_ONLY
    epochs: float | None = None
    steps: int | None = None
    minutes: float | None = None
    settings: Mapping[str, Any] | None = None
    image_shape: tuple[int, ...] | None = None
    validation_fraction: float = 0.1
    random_state: Any = 0
    verbose: bool = False
    network_: nn.Module | None = field(init=False)
    history_: list[Event] = field(init=False)

    def fit(self, X: Any, y: Any) -> "ImageClassifier":
        """Learn, and return the estimator itself.

        Args:
            X: N images.
            y: (N,) classes, numbers or names.

        Raises:
            InputError: X, y or a parameter does not fit.
        """
        reporter = Terminal() if self.verbose else Reporter()
        try:
            with as_value_errors():
                images, y = self._read(X, y, reset=True)
                check_classification_targets(y)
                self.classes_, labels = np.unique(y, return_inverse=True)
                if len(self.classes_) < 2:
                    only = self.classes_.tolist()[0]
                    raise InputError(f"y has one class, {only!r}; a classifier needs two or more.")
                with self._lines_explained():
                    self._learn(images, labels, seed_of(self.random_state), reporter)
        finally:
            reporter.close()
        return self

    def predict(self, X: Any) -> np.ndarray:
        """(N,) the most probable class of each image."""
        check_is_fitted(self)
        predicted: np.ndarray = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return predicted

    def predict_proba(self, X: Any) -> np.ndarray:
        """(N, K) float64 probabilities of the classes in the order of `classes_`.

        They are calibrated where images were held out.
        """
        check_is_fitted(self)
        with as_value_errors():
            images, _ = self._read(X, reset=False)
            images = resized(images, self._spec)
            if self.network_ is None:
                probabilities = self._predictor.probabilities(images, self._arrays)
            else:
                probabilities = self._infer(images)
        return self._scaling(probabilities)

    def _learn(self, images: np.ndarray, labels: np.ndarray, seed: int, reporter: Reporter) -> None:
        lengths = {"epochs": self.epochs, "steps": self.steps, "minutes": self.minutes}
        network = self.network
        if network is None and self._is_line:
            network = "mlp"
        name = network.get("name") if isinstance(network, Mapping) else network
        if name in PREDICTORS:
            self._fit_predictor(images, labels, Pick.from_json(network), lengths, seed)
            return
        settings = fitting.training_settings(network, lengths, self.settings, seed)
        if self._is_line:
            # Neighbours in a row are no neighbours in a picture: nothing is moved or enlarged.
            lines: Settings = {"data": {"input_size": list(images.shape[1:3])}, "augmentation": []}
            settings = merge(lines, settings)
        train, held = self._divided(images, labels, seed)
        config, choices = fitting.plan(train, len(held.labels), len(self.classes_), settings)
        reporter.choices(choices)
        model, self.n_iter_, self.history_, probabilities = fitting.train(
            config, train, held, len(self.classes_), reporter
        )
        self._spec = ImageSpec(config.data.input_size, config.data.channels, config.data.fit)
        self._config, self._model, self.network_ = config, model, whole(model.networks)
        self.chosen_ = {choice.what: choice.value for choice in choices}
        self._conclude(probabilities, held.labels)

    def _fit_predictor(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        pick: Pick,
        lengths: Mapping[str, float | None],
        seed: int,
    ) -> None:
        unsuited = [key for key, value in lengths.items() if value is not None]
        unsuited += ["settings"] if self.settings else []
        problems = [f"{pick.name} is fitted in one piece: leave out {key}." for key in unsuited]
        problems += PREDICTORS.problems(pick)
        if problems:
            raise ConfigError(problems)
        self._predictor: Predictor = PREDICTORS.build(pick)
        height, width, channels = images.shape[1:]
        size = self._predictor.input_size(height, width)
        self._spec = ImageSpec(size, 1 if self._predictor.grey or channels == 1 else 3)
        images = resized(images, self._spec)
        train = validation = Labelled(images, labels)
        if self._predictor.chooses(size):  # else it learns from all images
            train, held = self._divided(images, labels, seed)
            validation = held if len(held.labels) else train
        learned = self._predictor.fit(
            (train.images, train.labels),
            (validation.images, validation.labels),
            len(self.classes_),
            seed=seed,
        )
        self._arrays, self.network_, self.n_iter_, self.history_ = learned.arrays, None, 0, []
        self.chosen_ = {"predictor": pick.name, "chosen": ", ".join(learned.chosen)}
        probabilities = None
        if validation is not train:
            probabilities = self._predictor.probabilities(validation.images, self._arrays)
        self._conclude(probabilities, validation.labels)

    def _divided(
        self, images: np.ndarray, labels: np.ndarray, seed: int
    ) -> tuple[Labelled, Labelled]:
        train, held = fitting.hold_out(labels, self.validation_fraction, seed)
        return Labelled(images[train], labels[train]), Labelled(images[held], labels[held])

    def _conclude(self, probabilities: np.ndarray | None, labels: np.ndarray) -> None:
        """Keep the error and the temperature that the held-out images show."""
        self.validation_error_, self._scaling = None, Scaling()
        if probabilities is not None and len(probabilities):
            wrong = int((probabilities.argmax(axis=1) != labels).sum())
            self.validation_error_ = wilson(wrong, len(labels))
            self._scaling = fit_temperature(probabilities, labels)

    def _infer(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (N, K) of the network, run as it was trained as far as this machine can."""
        recorded = self._model.execution.to_json()
        execution = Execution.recorded(self._config.execution, recorded)
        networks = self._model.networks
        if execution.device.type != "cpu":
            networks = copy.deepcopy(networks)
            execution.place(networks)
        model = replace(self._model, networks=networks, execution=execution)
        return infer(model, images)["probabilities"]
