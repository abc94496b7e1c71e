"""How threads should wait for each other: training speed by waiting policy, idle and disturbed.

    python benchmarks/waiting.py [--repeats 5] [--policy SPIN=1000 ...]

Each measurement is a process of its own (the policy is read when torch starts): steps of the
airbench network on batches of 128 images of 32×32. "Disturbed" runs one busy process beside it.
A policy is ACTIVE, PASSIVE (`OMP_WAIT_POLICY`), SPIN=n (`GOMP_SPINCOUNT`, turns of an empty loop
before a waiting thread sleeps) or "not set".
Interleaved; medians with the range, images a second. Prints JSON.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

import torch

STEPS = """
import time, torch
from striate.networks import NETWORKS
from striate.registry import Pick
from striate.execution import keep_pages
keep_pages()
network = NETWORKS.build(Pick("airbench", widths=[32, 128, 128]), num_classes=10, in_channels=3)
network.to(memory_format=torch.channels_last)
images = torch.rand(128, 3, 32, 32).contiguous(memory_format=torch.channels_last)
target = torch.randint(10, (128,))
for step in range(13):
    if step == 3:
        began = time.perf_counter()
    torch.nn.functional.cross_entropy(network(images), target).backward()
print(10 * 128 / (time.perf_counter() - began))
"""


POLICIES = (
    "not set",
    "ACTIVE",
    "PASSIVE",
    *(f"SPIN={turns}" for turns in (100, 300, 1_000, 3_000, 10_000, 30_000)),
)


def speed(policy: str) -> float:
    own = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {key: value for key, value in os.environ.items() if key not in own}
    if policy.startswith("SPIN="):
        environment["GOMP_SPINCOUNT"] = policy.removeprefix("SPIN=")
    elif policy != "not set":
        environment["OMP_WAIT_POLICY"] = policy
    done = subprocess.run(
        [sys.executable, "-c", STEPS], env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--policy", action="append", help="measure these alone")
    arguments = parser.parse_args()
    repeats = arguments.repeats
    found: dict[str, list[float]] = {}
    for disturbed in (False, True):
        for _ in range(repeats):
            for policy in arguments.policy or POLICIES:
                busy = None
                if disturbed:
                    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
                try:
                    key = f"{'disturbed' if disturbed else 'idle'}, {policy}"
                    found.setdefault(key, []).append(speed(policy))
                finally:
                    if busy is not None:
                        busy.kill()
                        busy.wait()
    table = {
        key: {"median": round(statistics.median(v)), "min": round(min(v)), "max": round(max(v))}
        for key, v in found.items()
    }
    versions = {"torch": torch.__version__, "cores": os.cpu_count(), "n": repeats}
    print(json.dumps({**table, **versions}, indent=1))


if __name__ == "__main__":
    main()
