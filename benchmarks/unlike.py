"""Are p-values of "unlike the training images" uniform on held-out images, and small on others?

    python benchmarks/unlike.py RUN orl-faces.tar captchas/ photographs/ ...

computes, for a finished run, the p-value of each image of half of its validation split by the other
half (the run's own index uses all of it), and compares them with the uniform distribution by the
Kolmogorov-Smirnov test of two samples of the distances behind them. Then prints for each other set
the share of its images with a p-value below 0.05. None of these sets was used to calibrate.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from torch import Tensor

from striate.api.run import Run, data_of
from striate.data import BrokenImage, decode_image, open_source
from striate.data.decode import spec_of
from striate.data.plain import input_batches
from striate.randomness import some_of
from striate.seeing.feature import features
from striate.seeing.index import build_index
from striate.seeing.twin import twin
from striate.seeing.unlike import calibrated, p_values, unlikeness
from striate.terminal import Reporter

MOST = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("others", nargs="+", help="Folders or archives of other images.")
    arguments = parser.parse_args()
    run = Run(arguments.run)
    data = data_of(run.config, None, run.path, Reporter(), run.fields)
    network = twin(run.network)

    def batches(pixels: Any) -> Iterator[Tensor]:
        return input_batches(pixels, run.normalise)

    train = data.train
    index = build_index(network, batches(train.images), train.names, [""] * len(train))
    held = features(network, batches(data.validation.images))
    order = np.random.default_rng(0).permutation(len(held))
    first, second = order[: len(order) // 2], order[len(order) // 2 :]
    index = calibrated(index, held[first])
    own = p_values(index, held[second]).numpy()
    distances = [unlikeness(index, held[half]).numpy() for half in (first, second)]
    test = stats.ks_2samp(*distances)
    print(
        f"held out: {len(first)} to calibrate, {len(second)} measured: "
        f"{100 * (own < 0.05).mean():.1f} % below 0.05, Kolmogorov-Smirnov p = {test.pvalue:.2f}"
    )
    spec = spec_of(run.config.data)
    for name in arguments.others:
        source = open_source(name)
        items = [source.items[i] for i in some_of(len(source.items), MOST, "unlike")]
        pictures = []
        for _, content in source.stream(items):
            try:
                pictures.append(decode_image(content, spec))
            except BrokenImage:
                continue
        found = p_values(index, features(network, batches(np.stack(pictures)))).numpy()
        print(
            f"{Path(name).name}: n = {len(found)}, {100 * (found < 0.05).mean():.1f} % below 0.05"
        )


if __name__ == "__main__":
    main()
