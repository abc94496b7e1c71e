"""Watching a training: how signals and gradients pass through its layers, and its weights.

Of a small network its weights are kept as well, so that its course can be drawn.

What is written comes from a copy of the network and a batch of its own, so that the run's bits are
those of an unwatched one.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from striate.data.batch import Batch
from striate.data.part import ImageSet
from striate.data.plain import plain_batch
from striate.randomness import some_of
from striate.run_folder import RunFolder
from striate.seeing.flow import flow
from striate.seeing.histogram import common_edges, histogram
from striate.training.assemble import Parts

_IMAGES = 64
_SMALL = 2**16
"""Numbers of a network up to which its weights are kept at each moment."""
_BINS = 48


@dataclass
class Watch:
    """The moments of a training."""

    parts: Parts
    train: ImageSet
    folder: RunFolder
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Ends of the bins of each layer's weights, from the first moment on."""

    def moment(self, step: int) -> dict[str, Any]:
        """JSON values of this moment: a row for each layer, and histograms of weights."""
        network: nn.Module = next(iter(self.parts.networks.values()))
        state = self.parts.whole.state_dict()
        if sum(tensor.numel() for tensor in state.values()) <= _SMALL:
            self.folder.write_tensors(self.folder.snapshot(step), state)
        items = some_of(len(self.train), _IMAGES, "watch")
        here = plain_batch(self.train, items, self.parts.model.normalise)
        device = self.parts.execution.device
        fields = {name: value.to(device) for name, value in here.fields.items()}
        rows = flow(network, Batch(fields, here.items), self.parts.task.loss_of)
        counts = {}
        for name, weight in network.named_parameters():
            if weight.ndim < 2:
                continue
            values = weight.detach().float().cpu()
            if name not in self.ranges:
                # Twice as far as at first, for weights that grow.
                edges = common_edges([values], _BINS)
                self.ranges[name] = 2 * float(edges[0]), 2 * float(edges[-1])
            edges = torch.linspace(*self.ranges[name], _BINS + 1, dtype=torch.float64)
            counts[name] = histogram(values, edges).tolist()
        return {
            "rows": [_finite(asdict(row)) for row in rows],
            "weights": counts,
            "edges": {name: list(ends) for name, ends in self.ranges.items()},
        }

    def follow(self, event: Mapping[str, Any]) -> None:
        """Take the ends of the bins of a moment that was written before."""
        self.ranges = {name: (low, high) for name, (low, high) in event["edges"].items()}


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """Values as JSON has them: a number that is not finite is null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
