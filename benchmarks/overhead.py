"""What Striate's loop costs over the bare loop of examples/train_resnet20.py, step by step.

    python benchmarks/overhead.py [--repeats 7] [--steps 20]

The same ResNet-20, images, batch and optimiser; the two run in turn, stretch by stretch, and the
ratio is taken pair by pair. Striate's stretch includes what the loop does between steps: events,
the plan, the look at the clock. Prints JSON: median ratio, spread, hardware, versions.
"""

import argparse
import importlib.util
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from striate.config import DataConfig, RunConfig, TrainingConfig
from striate.data import prepare
from striate.execution import keep_pages
from striate.registry import Pick
from striate.training.assemble import assemble
from striate.training.budget import Clock
from striate.training.checkpoint import CheckpointStore
from striate.training.events import EventLog
from striate.training.loop import Training
from striate.training.plan import Plan


def example():
    path = Path(__file__).parents[1] / "examples" / "train_resnet20.py"
    spec = importlib.util.spec_from_file_location("train_resnet20", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def folder_of_noise(where: Path, per_class: int = 300) -> Path:
    """Two classes of 32×32 noise: speed does not depend on what the images show."""
    from PIL import Image

    draw = np.random.default_rng(0)
    for name in ("one", "two"):
        (where / name).mkdir(parents=True)
        for number in range(per_class):
            pixels = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(where / name / f"{number}.png")
    return where


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    keep_pages()
    module = example()
    with tempfile.TemporaryDirectory() as temporary:
        source = folder_of_noise(Path(temporary) / "noise")
        total = (arguments.repeats + 1) * arguments.steps
        config = RunConfig(
            data=DataConfig(source=str(source), input_size=(32, 32), channels=3),
            network=Pick("resnet", depth=20),
            loss=Pick("softmax_cross_entropy"),
            optimiser=Pick("sgd", lr=0.2, weight_decay=5e-4),
            schedule=Pick("one_cycle", peak=0.2),
            augmentation=(),
            training=TrainingConfig(batch_size=128, steps=total),
        )
        data = prepare(config.data)
        parts = assemble(config, data)
        parts.network.train()
        bare = module.ResNet20(2).to(memory_format=torch.channels_last)
        images, labels = np.asarray(data.train.images), data.train.labels
        ratios, speeds = [], []
        with EventLog(Path(temporary) / "events.jsonl") as log:
            store = CheckpointStore(Path(temporary) / "checkpoints")
            training = Training(config, data, parts, Plan.of(total), store, log, Clock())
            for repeat in range(arguments.repeats + 1):
                began = time.perf_counter()
                module.train(
                    bare,
                    images,
                    labels,
                    mean=parts.normalise.mean,
                    std=parts.normalise.std,
                    steps=arguments.steps,
                )
                middle = time.perf_counter()
                for _ in range(arguments.steps):
                    training.advance()
                end = time.perf_counter()
                if repeat:  # the first pair warms up
                    ratios.append((end - middle) / (middle - began))
                    speeds.append(128 * arguments.steps / (end - middle))
    print(
        json.dumps(
            {
                "ratio of seconds a step, Striate over bare": {
                    "median": round(statistics.median(ratios), 4),
                    "min": round(min(ratios), 4),
                    "max": round(max(ratios), 4),
                    "n": len(ratios),
                    "steps each": arguments.steps,
                },
                "images a second, Striate, median": round(statistics.median(speeds), 1),
                "threads": torch.get_num_threads(),
                "processor": platform.processor() or platform.machine(),
                "torch": torch.__version__,
                "python": platform.python_version(),
            }
        )
    )


if __name__ == "__main__":
    main()
