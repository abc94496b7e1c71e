"""How fast the guessed execution is beside the measured one: whole training steps, in turns.

    python benchmarks/guess.py [--seconds 10] [--rounds 7] [NAME ...]

Trainings that steps or epochs end run as guessed, so that a seed gives the same bits; those that
the clock ends run as measured. The ratio says what the first ones pay for that: time of a guessed
step over that of a measured one, medians. Torch's threads are those of OMP_NUM_THREADS.
"""

import argparse

import torch

from striate.config import ExecutionConfig
from striate.execution import choose, guess, keep_pages
from striate.execution.step import step_call
from striate.execution.timing import race
from striate.networks import NETWORKS
from striate.registry import Pick

CASES = {
    "LeNet-5": (Pick("lenet5"), (128, 1, 28, 28)),
    "SimpleNet": (Pick("simplenet"), (64, 3, 64, 64)),
    "32-128-128": (Pick("airbench", widths=(32, 128, 128)), (128, 3, 32, 32)),
    "64-256-256": (Pick("airbench", widths=(64, 256, 256)), (128, 3, 32, 32)),
    "ResNet-20": (Pick("resnet", depth=20), (128, 3, 32, 32)),
    "VGG-11": (Pick("vgg", depth=11, hidden=256), (16, 3, 64, 64)),
    "GoogLeNet": (Pick("googlenet"), (16, 3, 64, 64)),
    "DenseNet-22": (Pick("densenet", depth=22), (32, 3, 32, 32)),
    "SqueezeNet": (Pick("squeezenet"), (16, 3, 96, 96)),
    "U-Net": (Pick("unet", width=16), (8, 3, 64, 64)),
}


def compared(pick: Pick, shape: tuple[int, ...], seconds: float, rounds: int) -> tuple[float, str]:
    """Time of a guessed step over that of a measured one, and what the trial chose."""
    network = NETWORKS.build(pick, num_classes=10, in_channels=shape[1], input_size=shape[2:])
    config = ExecutionConfig(device="cpu")
    guessed = guess(network, shape, config)
    measured = choose(network, shape, config, seconds=seconds, fresh=True).execution
    calls = {"guessed": step_call(network, guessed, shape)}
    calls["measured"] = step_call(network, measured, shape)
    times = race(calls, 0.0, least_turns=rounds, most_turns=rounds)
    differing = sum(measured.methods.get(n) != m for n, m in guessed.methods.items())
    words = f"{differing} of {len(guessed.methods)} convolutions otherwise, {measured.layers}"
    if measured.threads != guessed.threads:
        words += f", {measured.threads} thread(s) for {guessed.threads}"
    return times["guessed"].median / times["measured"].median, words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(CASES))
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a trial")
    parser.add_argument("--rounds", type=int, default=7, help="timed steps of each")
    options = parser.parse_args()
    keep_pages()
    torch.manual_seed(0)
    for name in options.names:
        ratio, words = compared(*CASES[name], options.seconds, options.rounds)
        print(f"{name:12} {ratio:.3f}  {words}", flush=True)


if __name__ == "__main__":
    main()
