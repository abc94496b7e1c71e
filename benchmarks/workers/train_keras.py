"""A training step in Keras 3 (`train_on_batch`): images a second, memory."""

import itertools
import os
from importlib.metadata import version

from protocol import argument, peak_memory, say, timed


def main() -> None:
    asked = argument()
    os.environ["KERAS_BACKEND"] = asked["backend"]
    import keras

    keras.config.set_image_data_format(asked["format"])
    from batches import batches
    from networks_keras import build

    last = asked["format"] == "channels_last"
    data = itertools.cycle(batches(asked["case"], channels_last=last, batch=asked.get("batch")))
    network = build(asked["case"])
    held = peak_memory()
    network.compile(
        optimizer=keras.optimizers.SGD(0.001, momentum=0.9, nesterov=True, weight_decay=5e-4),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )

    def step() -> float:
        return float(network.train_on_batch(*next(data)))

    found = timed(step, asked["seconds"], asked.get("fewest", 3))
    rows = len(next(data)[0])
    say(
        images_per_second=rows / found["step_seconds"],
        **found,
        **peak_memory(),
        bytes_before=held.get("held_bytes"),
        versions={name: version(name) for name in ("keras", asked["backend"])},
    )


if __name__ == "__main__":
    main()
