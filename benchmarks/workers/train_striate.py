"""A training step of a plain network through Striate's execution: images a second, memory."""

import itertools

import torch
from batches import batches
from networks_torch import build
from protocol import argument, peak_memory, say, timed
from striate_execution import prepared, versions
from torch.nn import functional

from striate.optim import OPTIMISERS
from striate.registry import Pick


def main() -> None:
    asked = argument()
    torch.manual_seed(0)
    plain = build(asked["case"])
    held = peak_memory()
    made = batches(asked["case"], channels_last=True, batch=asked.get("batch"))
    rows, height, width, channels = made[0][0].shape
    network, execution, words = prepared(plain, (rows, channels, height, width))
    chosen = peak_memory()
    data = itertools.cycle(made)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimiser = OPTIMISERS.build(
        Pick("sgd", lr=0.001, momentum=0.9, nesterov=True, weight_decay=5e-4), weights
    )

    def step() -> float:
        pixels, labels = next(data)
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        if not execution.channels_last:
            images = images.contiguous()
        with execution.autocast():
            loss = functional.cross_entropy(network(images), torch.from_numpy(labels))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return loss.item()

    with execution.arithmetic():
        threads = torch.get_num_threads()
        found = timed(step, asked["seconds"], asked.get("fewest", 3))
    say(
        images_per_second=rows / found["step_seconds"],
        **found,
        **peak_memory(),
        bytes_before=held.get("held_bytes"),
        peak_bytes_of_trial=chosen["peak_bytes"],
        how=words,
        threads=threads,
        versions=versions(),
    )


if __name__ == "__main__":
    main()
