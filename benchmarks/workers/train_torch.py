"""A training step in PyTorch: images a second, memory."""

import ctypes
import itertools
import platform

import torch
from batches import batches
from networks_torch import build
from protocol import argument, peak_memory, say, timed
from torch.nn import functional

__all__ = ["keep_pages"]


def keep_pages() -> None:
    """Have glibc keep freed memory for the next step instead of handing it back."""
    if platform.system() == "Linux" and platform.libc_ver()[0] == "glibc":
        mmap_max, trim_threshold = -4, -1
        library = ctypes.CDLL(None)
        library.mallopt(mmap_max, 0)
        library.mallopt(trim_threshold, 2**31 - 1)


def main() -> None:
    asked = argument()
    if asked.get("keep_pages"):
        keep_pages()
    if asked.get("threads"):
        torch.set_num_threads(asked["threads"])
    torch.manual_seed(0)
    last = asked.get("layout") == "nhwc"
    network = build(asked["case"])
    if last:
        network = network.to(memory_format=torch.channels_last)
    held = peak_memory()
    optimiser = torch.optim.SGD(
        [weight for weight in network.parameters() if weight.requires_grad],
        lr=0.001,
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
        fused=True if asked.get("fused") else None,
    )
    forward = torch.compile(network) if asked.get("compile") else network
    made = batches(asked["case"], channels_last=last, batch=asked.get("batch"))
    data = itertools.cycle(made)

    def step() -> float:
        pixels, labels = next(data)
        images, target = torch.from_numpy(pixels), torch.from_numpy(labels)
        if last:
            images = images.permute(0, 3, 1, 2)
        with torch.autocast("cpu", torch.bfloat16, enabled=bool(asked.get("bf16"))):
            loss = functional.cross_entropy(forward(images), target)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return loss.item()

    found = timed(step, asked["seconds"], asked.get("fewest", 3))
    say(
        images_per_second=len(made[0][0]) / found["step_seconds"],
        **found,
        **peak_memory(),
        bytes_before=held.get("held_bytes"),
        threads=torch.get_num_threads(),
        versions={"torch": torch.__version__},
    )


if __name__ == "__main__":
    main()
