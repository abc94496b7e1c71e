"""CIFAR-10 in a given time with the convolutional network of Keras's examples: the test error."""

import os
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from cifar_data import MEAN, STD, Clock, Images
from protocol import argument, peak_memory, say

_CLOSING = 0.5
_BATCH = 128


def main() -> None:
    asked = argument()
    os.environ["KERAS_BACKEND"] = asked["backend"]
    import keras
    from keras import layers

    keras.config.set_image_data_format(asked["format"])
    keras.utils.set_random_seed(asked["seed"])
    last = asked["format"] == "channels_last"
    shape = (32, 32, 3) if last else (3, 32, 32)
    rows: list = [keras.Input(shape)]
    for width in (32, 64):
        rows += [layers.Conv2D(width, 3, padding="same", activation="relu")]
        rows += [layers.Conv2D(width, 3, activation="relu")]
        rows += [layers.MaxPooling2D(), layers.Dropout(0.25)]
    rows += [layers.Flatten(), layers.Dense(512, activation="relu"), layers.Dropout(0.5)]
    network = keras.Sequential([*rows, layers.Dense(10)])
    network.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    data = Images(asked["folder"], _BATCH, asked["seed"], source=asked["source"])

    def prepared(pixels: np.ndarray) -> np.ndarray:
        images = (pixels.astype(np.float32) - MEAN) / STD
        return images if last else np.ascontiguousarray(images.transpose(0, 3, 1, 2))

    pixels, labels = next(data)
    network.train_on_batch(prepared(pixels), labels)  # builds, and compiles where that is done
    clock = Clock(asked["began"], asked["budget"], _CLOSING)
    longest = 0.0
    while time.time() + longest < clock.end:
        before = time.time()
        network.optimizer.learning_rate = 1e-3 * 0.5 * (1 + np.cos(np.pi * clock.progress()))
        pixels, labels = next(data)
        network.train_on_batch(prepared(pixels), labels)
        longest = max(0.9 * longest, time.time() - before)
    seconds = time.time() - asked["began"]
    folder = Path(asked["folder"])
    tested, truth = np.load(folder / "test.npy"), np.load(folder / "test_labels.npy")
    if asked.get("images"):
        pick = np.linspace(0, len(truth) - 1, asked["images"]).astype(int)
        tested, truth = tested[pick], truth[pick]
    answers = network.predict(prepared(tested), batch_size=500, verbose=0).argmax(1)
    say(
        test_error=float((answers != truth).mean()),
        n=len(truth),
        seconds=round(seconds, 2),
        epochs=round(data.seen / len(data.labels), 3),
        whole_seconds=round(time.time() - asked["began"], 2),
        **peak_memory(),
        versions={name: version(name) for name in ("keras", asked["backend"])},
    )


if __name__ == "__main__":
    main()
