"""Settings of the optimisation: batch, optimiser and schedule."""

from typing import Any

from striate.settings import setting_at
from striate.training.planner.draft import Draft

_WIDE = 2.0
"""Times the usual widths from which on a network is trained on four times the batch."""
_LARGEST = 512
"""Images a step up to which the growth of the rate was measured."""
_PIXELS = 2**21
"""Pixels of a batch at most: 512 images of 64 × 64, 32 of 224 × 224. A usual network's maps of so
many take some gigabytes in training."""
_FEWEST = 16
_DECAY = 0.35
"""Weight decay of Muon; less learns the training images by heart where each is shown a dozen
times."""
_FINE = 3e-4
"""Rate of all layers after a solved last one: at 0.001 three epochs of 900 images of 224 × 224 did
harm (15-Scene, n = 601: 7.0 % wrong before, 9.0 after; at 0.0003 6.5)."""
_MEMORY = 1280
"""Images that the momentum of Muon covers, as it decays."""


def batch_size(
    num_images: int, size: tuple[int, int], factor: float = 1.0, hasty: bool = False
) -> int:
    """Images a step.

    Wide networks pay more a step for the optimiser and for transformed kernels, both of which are
    once a step whatever the batch. Of large images fewer fill the processor, and many the memory.

    Args:
        num_images: Images of the training split.
        size: Height and width, pixels.
        factor: Multiple of the usual widths.
        hasty: Whether there is time for a few hundred steps only.
    """
    if num_images < 2_000:
        wanted = 32
    elif num_images < 10_000:
        wanted = 64
    elif hasty:
        wanted = 256
    else:
        wanted = 512 if factor >= _WIDE else 128
    fitting = max(_FEWEST, _PIXELS // (size[0] * size[1]))
    return min(wanted, 1 << (fitting.bit_length() - 1))


def optimiser(network: str, batch: int, hasty: bool = False) -> tuple[dict[str, Any], str]:
    """The optimiser of a network for steps of so many images, and why.

    Args:
        network: Name of the network.
        batch: Images a step.
        hasty: Whether there is time for a few hundred steps only.
    """
    if network == "airbench":
        measured = min(batch, _LARGEST)
        if hasty:
            rate, momentum = 0.09 * (measured / 256) ** 0.5, 0.7
            why = "Muon: least error for as many images; large steps, for there is time for few"
        else:
            rate = 0.02 * (measured / 128) ** 0.5
            momentum = min(0.9, max(0.5, 1 - batch / _MEMORY))
            why = (
                "Muon: least error for as many images; its momentum averages over some "
                f"{_MEMORY:,} images"
            )
        return {"name": "muon", "lr": rate, "momentum": momentum, "weight_decay": _DECAY}, why
    if network == "resnet":
        rate = 0.3 * (batch / 128) ** 0.5
        why = "Nesterov momentum; the rate grows with the batch"
        return {"name": "sgd", "lr": rate, "weight_decay": 5e-4}, why
    why = "adapts its rate to networks without normalisation"
    return {"name": "adamw", "lr": 2e-3, "weight_decay": 0.01}, why


def decide_optimiser(draft: Draft, *, hasty: bool) -> None:
    """Optimiser and schedule, for the network and the batch that were decided."""
    name, batch = draft.planned("network.name"), draft.planned("training.batch_size")
    chosen, why = optimiser(name, batch, hasty)
    if setting_at(draft.settings, "pretrained.head") == "solved":
        chosen = {"name": "adamw", "lr": _FINE, "weight_decay": 0.01}
        why = "small steps: the layers know much already"
    shown = f"{chosen['name']}, rate {chosen['lr']:.3g}"
    draft.decide("optimiser", "optimiser", chosen, why, shown)
    why = "rises, then falls to zero as the time ends"
    schedule = {"name": "one_cycle", "peak": 0.1 if hasty else 0.2}
    draft.decide("schedule", "schedule", schedule, why, "one-cycle")
