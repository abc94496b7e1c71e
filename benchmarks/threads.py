"""From how much work on threads help a training step: the ground of a guess.

    python benchmarks/threads.py [--repeats 5]

Steps of several networks on batches of many sizes, on one thread and on all, in turns; a line for
each gives the multiply-adds of the forward pass, the least time of each and their ratio.
`striate.execution` guesses one thread below 150 million multiply-adds, and measures where it can.
"""

import argparse
from dataclasses import replace

import torch

from striate.config import ExecutionConfig
from striate.execution import keep_pages
from striate.execution.chooser import _work, guess
from striate.execution.step import step_call
from striate.execution.timing import race
from striate.networks import NETWORKS
from striate.registry import Pick

CASES = [
    (Pick("mlp"), (1, 28, 28), (32, 128, 512)),
    (Pick("lenet5"), (1, 32, 32), (32, 128, 512)),
    (Pick("airbench", widths=[16, 64, 64]), (3, 32, 32), (4, 16, 32, 128)),
    (Pick("airbench", widths=[32, 128, 128]), (3, 32, 32), (2, 8, 32, 128)),
    (Pick("resnet", depth=20), (3, 32, 32), (1, 4, 16, 64)),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    keep_pages()
    cores = torch.get_num_threads()
    for pick, image, batches in CASES:
        network = NETWORKS.build(pick, num_classes=10, in_channels=image[0], input_size=image[1:])
        for batch in batches:
            shape = (batch, *image)
            torch.set_num_threads(cores)
            guessed = guess(network, shape, ExecutionConfig(device="cpu"))
            steps = {
                str(count): step_call(network, replace(guessed, threads=count), shape)
                for count in (1, cores)
            }
            times = race(steps, 0.0, least_turns=repeats, most_turns=repeats)
            one, all_of = (1e3 * times[str(count)].best for count in (1, cores))
            print(
                f"{pick.name:9} batch {batch:4}  {_work(network, shape) / 1e6:8.1f} million  "
                f"1 thread {one:8.2f} ms, {cores} threads {all_of:8.2f} ms  x{one / all_of:5.2f}  "
                f"guess: {guessed.threads}",
                flush=True,
            )


if __name__ == "__main__":
    main()
