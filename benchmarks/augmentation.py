"""What each augmentation costs as a share of a training step on 32×32 images.

    python benchmarks/augmentation.py [--repeats 30]

Batches of 128 colour images; a step is forward and backward of ResNet-20 and of the airbench
network that the planner chooses. Interleaved; medians with the quartiles. Prints JSON.
"""

import argparse
import json
import platform
import statistics
import time

import torch
from torch.nn import functional

from striate.data import AUGMENTATIONS
from striate.data.augment import Augmenter
from striate.data.field import Category
from striate.execution import keep_pages
from striate.networks import NETWORKS
from striate.registry import Pick


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=30)
    repeats = parser.parse_args().repeats
    keep_pages()
    images = torch.rand(128, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    target = torch.randint(10, (128,))
    networks = {
        "resnet20": NETWORKS.build(Pick("resnet", depth=20), num_classes=10, in_channels=3),
        "airbench 32-128-128": NETWORKS.build(
            Pick("airbench", widths=[32, 128, 128]), num_classes=10, in_channels=3
        ),
    }
    fields = {"category": Category(list("0123456789"))}
    changes = {name: Augmenter((Pick(name),), fields, 0) for name in AUGMENTATIONS}
    changes["flip + shift"] = Augmenter((Pick("flip"), Pick("shift")), fields, 0)
    times: dict[str, list[float]] = {name: [] for name in (*networks, *changes)}
    for network in networks.values():
        network.to(memory_format=torch.channels_last)
    for step in range(repeats + 1):
        for name, network in networks.items():
            began = time.perf_counter()
            functional.cross_entropy(network(images), target).backward()
            times[name].append(time.perf_counter() - began)
        for name, change in changes.items():
            began = time.perf_counter()
            change({"image": images, "category": target}, step)
            times[name].append(time.perf_counter() - began)
    table = {}
    for name, values in times.items():
        low, median, high = statistics.quantiles(values[1:], n=4)
        row = {"ms": [round(1e3 * value, 2) for value in (low, median, high)]}
        if name in changes:
            for network in networks:
                step_ms = statistics.median(times[network][1:])
                row[f"share of a {network} step"] = round(median / step_ms, 4)
        table[name] = row
    versions = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    print(json.dumps({**table, "n": repeats, **versions, "machine": platform.machine()}, indent=1))


if __name__ == "__main__":
    main()
