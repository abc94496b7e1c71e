"""Native convolutions against torch's, layer by layer and direction by direction.

    python benchmarks/convolution.py --threads 2 --rounds 9 --json convolution.json

Torch runs its best layout (channels_last). Calls are interleaved, so that both see the same
machine; the table gives the median of the rounds' times and their quartiles. With `--clock cpu`
(one thread) the calling thread's processor time is taken instead of the wall's, which other
programs on the machine disturb less. For another instruction set set STRIATE_ISA=avx2 and
ONEDNN_MAX_CPU_ISA=AVX2 together.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from striate import kernels
from striate.kernels.operators.geometry import DIRECTIONS, Geometry
from striate.kernels.operators.methods import METHODS

# Batch, channels in and out, side of the map: of VGG-like, residual and wide networks for small
# images.
LAYERS = [
    (128, 32, 32, 32),
    (128, 64, 64, 32),
    (128, 64, 64, 16),
    (128, 128, 128, 16),
    (128, 128, 128, 8),
    (128, 256, 256, 8),
    (512, 64, 64, 15),
    (512, 64, 256, 15),
    (512, 256, 256, 7),
    (256, 256, 256, 4),
]


def calls(layer: tuple[int, int, int, int], name: str) -> dict[str, Callable[[], object]]:
    """What is timed: each direction by the named method and by torch."""
    B, C, K, side = layer
    dense = torch.channels_last
    x = torch.randn(B, C, side, side).to(memory_format=dense)
    weight = (torch.randn(K, C, 3, 3) / (3 * C**0.5)).to(memory_format=dense)
    grad = torch.randn(B, K, side, side).to(memory_format=dense)
    geometry = Geometry((B, C, side, side), (K, C, 3, 3), padding=(1, 1))
    method = METHODS[name]

    def backward(mask: tuple[bool, bool, bool]) -> Callable[[], object]:
        sizes = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1)
        return lambda: torch.ops.aten.convolution_backward(grad, x, weight, None, *sizes, mask)

    return {
        "forward": lambda: method.forward(x, weight, None, geometry, None),
        "torch forward": lambda: torch.conv2d(x, weight, None, 1, 1),
        "data": lambda: method.data(grad, weight, geometry),
        "torch data": backward((True, False, False)),
        "weight": lambda: method.weight(grad, x, weight, geometry, False),
        "torch weight": backward((False, True, False)),
    }


def measure(
    functions: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Seconds of a call, one number a round, each over at least 30 ms."""
    for function in functions.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            count, start = 0, clock()
            while clock() - start < 0.03:
                function()
                count += 1
            times[name].append((clock() - start) / count)
    return times


def main() -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--method", default="winograd4", choices=sorted(METHODS))
    parser.add_argument("--clock", default="wall", choices=["wall", "cpu"])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    clock = time.thread_time if asked.clock == "cpu" else time.perf_counter
    results = []
    print(f"{kernels.isa()}, {asked.threads} threads; effective GFLOP/s (quartiles of the ratio)")
    print("| layer | forward | data | weight | ratio to torch: each | all three |")
    print("|---|---|---|---|---|---|")
    for layer in LAYERS:
        B, C, K, side = layer
        work = 2 * B * side * side * C * K * 9 / 1e9
        times = measure(calls(layer, asked.method), asked.rounds, clock)
        median = {name: statistics.median(values) for name, values in times.items()}
        totals = [
            sum(times[f"torch {d}"][i] for d in DIRECTIONS) / sum(times[d][i] for d in DIRECTIONS)
            for i in range(asked.rounds)
        ]
        low, middle, high = statistics.quantiles(totals, n=4)
        speeds = " | ".join(
            f"{work / median[d]:.0f} ({work / median[f'torch {d}']:.0f})" for d in DIRECTIONS
        )
        ratios = " ".join(f"{median[f'torch {d}'] / median[d]:.2f}" for d in DIRECTIONS)
        total = f"{middle:.2f} ({low:.2f}–{high:.2f})"
        print(f"| {B}×{C}→{K}, {side}×{side} | {speeds} | {ratios} | {total} |", flush=True)
        results.append({"layer": layer, "times": times, "gflop": work})
    if asked.json:
        about = {
            "isa": kernels.isa(),
            "threads": asked.threads,
            "clock": asked.clock,
            "method": asked.method,
            "machine": platform.machine(),
            "torch": torch.__version__,
            "onednn_isa": os.environ.get("ONEDNN_MAX_CPU_ISA", ""),
        }
        asked.json.write_text(json.dumps({"about": about, "results": results}, indent=1), "utf-8")


if __name__ == "__main__":
    main()
