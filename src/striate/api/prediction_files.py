"""Predictions as files in a folder that a person names: none is ever written over another."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from striate import durable
from striate.drawing.picture import png
from striate.errors import ConfigError
from striate.tasks import DataShape, Prediction, Task

_OVERLAYS = "overlays/{}.png"
_ELSEWHERE = "repeat it with another folder after --out"


class PredictionFiles:
    """The files of predictions: those of their task, pictures of them, and predictions.json.

    The folders in which the images lie below the one that was named are kept.

    Args:
        folder: Folder of the files; it may exist.
        task: Task that was predicted.
        data: Shape of the data.
        paths: Paths of the images below the folder that was named, or their names.
        overlays: Whether each prediction is also drawn onto its image.

    Raises:
        ConfigError: a file exists already, or two images would share one.
    """

    def __init__(
        self, folder: Path, task: Task, data: DataShape, paths: Sequence[Path], *, overlays: bool
    ) -> None:
        self._folder, self._task, self._data = folder, task, data
        self._patterns = (*task.file_names, *([_OVERLAYS] if overlays else []))
        self._stems = [path.with_suffix("").as_posix() for path in paths]
        stem, times = Counter(self._stems).most_common(1)[0]
        if times > 1 and self._patterns:
            raise ConfigError(
                f"{times} of the images are called {stem} but for their ending or folder; their "
                "predictions would be one file. Predict them one folder at a time."
            )
        durable.require_writable(folder, folder=True)
        for path in (self._list, *(path for stem in self._stems for path in self._paths(stem))):
            if path.exists():
                raise ConfigError(
                    f"{path} exists already, and no prediction is written over a file. Name "
                    "another folder after --out."
                )

    @property
    def _list(self) -> Path:
        return self._folder / "predictions.json"

    def _paths(self, stem: str) -> list[Path]:
        return [self._folder / pattern.format(stem) for pattern in self._patterns]

    def write(self, index: int, prediction: Prediction, image: np.ndarray) -> None:
        """Write the files of one prediction.

        Args:
            index: Position of its image.
            prediction: Prediction of an image that could be read.
            image: The image (H, W, C), uint8, as it was predicted.
        """
        contents = list(self._task.files(prediction, self._data))
        if self._patterns[-1:] == (_OVERLAYS,):
            drawn = self._task.draw(image, prediction, self._data)
            contents += [] if drawn is None else [png(drawn)]
        with durable.explaining(then=_ELSEWHERE):
            for path, content in zip(self._paths(self._stems[index]), contents, strict=False):
                durable.write_bytes(path, content)

    def finish(self, predictions: Sequence[Prediction], **facts: Any) -> Path:
        """Write predictions.json with all predictions; its path comes back."""
        values = [prediction.to_json() for prediction in predictions]
        with durable.explaining(then=_ELSEWHERE):
            durable.write_json(self._list, {**facts, "predictions": values})
        return self._list
