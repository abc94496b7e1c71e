"""Estimators of networks: parameters, training and predictions that all of them share."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from torch import nn

from striate.data.decode import spec_of
from striate.estimators import fitting
from striate.estimators.fitting import Targeted
from striate.estimators.reading import ImageInput, as_value_errors
from striate.execution import Execution
from striate.settings import Settings, merge
from striate.terminal import Reporter, Terminal
from striate.training.assemble import whole
from striate.training.events import Event
from striate.training.inference import infer


@dataclass(eq=False, repr=False)
class ImageNetwork(ImageInput, BaseEstimator):
    """A network that learns from arrays of images; a subclass says what it predicts."""

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
    _task: ClassVar[str | None] = None
    """Name of the task; None: classification."""

    @contextmanager
    def _fitting(self) -> Iterator[Reporter]:
        """Report what happens, where that was asked for, and let faults be ValueErrors."""
        reporter = Terminal() if self.verbose else Reporter()
        try:
            with as_value_errors():
                yield reporter
        finally:
            reporter.close()

    @property
    def _lengths(self) -> dict[str, float | None]:
        return {"epochs": self.epochs, "steps": self.steps, "minutes": self.minutes}

    @property
    def _asked_name(self) -> Any:
        """Name of the network that was asked for; None: the planner chooses."""
        return self.network.get("name") if isinstance(self.network, Mapping) else self.network

    def _train(
        self,
        train: Targeted,
        held: Targeted,
        seed: int,
        reporter: Reporter,
        task: str | None = None,
    ) -> Any:
        """Train a network, keep all that predictions need, and return the held-out rows.

        Args:
            train: Images to train on.
            held: Images held out, perhaps none.
            seed: Random seed of the training.
            reporter: Receives what happens.
            task: Name of the task; None: that of all such estimators.
        """
        task = task or self._task
        network = "mlp" if self.network is None and self._is_line else self.network
        settings = fitting.training_settings(network, self._lengths, self.settings, seed)
        if task is not None:
            settings = merge(settings, {"task": {"name": task}})
        if self._is_line:
            # Neighbours in a row are no neighbours in a picture: nothing is moved or enlarged.
            size = list(train.images.shape[1:3])
            lines: Settings = {"data": {"input_size": size}, "augmentation": []}
            settings = merge(lines, settings)
        config, choices = fitting.plan(train, len(held), settings)
        reporter.choices(choices)
        model, self.n_iter_, self.history_, rows = fitting.train(config, train, held, reporter)
        self._spec = spec_of(config.data)
        self._config, self._model, self.network_ = config, model, whole(model.networks)
        self.chosen_ = {choice.what: choice.value for choice in choices}
        return rows

    def _outputs(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Predictions (N, ...) by name, of networks that run as they were trained as far as this
        machine can."""
        recorded = self._model.execution.to_json()
        execution = Execution.recorded(self._config.execution, recorded)
        networks = self._model.networks
        if execution.device.type != "cpu":
            networks = copy.deepcopy(networks)
            execution.place(networks)
        model = replace(self._model, networks=networks, execution=execution)
        return infer(model, images)
