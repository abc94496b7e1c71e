"""Loss around the weights: how flat the minimum is that the training came to."""

import time
from collections.abc import Iterator

from striate.drawing import colour
from striate.seeing.gallery import Panel, Picture
from striate.seeing.landscape import landscape as losses_around
from striate.seeing.subject import Subject

__all__ = ["landscape"]

_SECONDS = 20.0
"""Seconds that the picture may take, about."""
_MOST_POINTS = 41
_SIDE = 420


def landscape(subject: Subject) -> Iterator[Panel]:
    """Losses on a plane through the weights, in two random directions scaled filter by filter."""
    title = "The loss around the weights"
    if subject.loss is None:
        text = "It needs the loss of a run on its images: name a run."
        yield Panel("landscape", title, text)
        return
    loss, batches = subject.loss
    began = time.monotonic()
    losses_around(subject.network, loss, batches, num_points=3, seed=subject.seed)
    each = (time.monotonic() - began) / 9
    num_points = min(_MOST_POINTS, max(5, int((_SECONDS / each) ** 0.5)))
    num_points -= 1 - num_points % 2
    subject.say(
        f"The loss at {num_points} × {num_points} points takes about {each * num_points**2:.0f} s."
    )
    found = losses_around(subject.network, loss, batches, num_points=num_points, seed=subject.seed)
    values = found.losses.numpy()
    middle = values[num_points // 2, num_points // 2]
    largest = float(values.max())
    pixels = colour.enlarged(colour.sizes(values, largest), (_SIDE, _SIDE))
    count = sum(len(batch) for batch in batches)
    yield Panel(
        "landscape",
        title,
        f"The mean loss on {count:,} validation images where all weights are moved in two random "
        "directions, in which each filter has the length of the network's own (Li et al. 2018). In "
        f"the middle is the network itself, with {middle:.4g}; the edge is as far away as its "
        f"weights are long. Scale: 0 to {largest:.3g}. Another seed draws other directions.",
        pictures=[Picture(pixels, f"{num_points} × {num_points} points")],
        wide=True,
        arrays={"losses": values, "positions": found.positions.numpy()},
    )
