"""Watching a training: how signals and gradients pass through its layers, and its weights.

Of a small network its weights are kept as well, so that its course can be drawn.

What is written comes from a copy of the network and a batch of its own, so that the run's bits are
those of an unwatched one.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.data.batch import Batch
from striate.data.loader import to_float
from striate.data.part import ImageSet
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
    edges: dict[str, list[float]] = field(default_factory=dict)
    """Edges of the bins of each layer's weights, from the first moment on."""

    def moment(self, step: int) -> dict[str, Any]:
        """JSON values of this moment: a row for each layer, and histograms of weights."""
        network: nn.Module = next(iter(self.parts.networks.values()))
        state = self.parts.whole.state_dict()
        if sum(tensor.numel() for tensor in state.values()) <= _SMALL:
            self.folder.write_tensors(self.folder.snapshot(step), state)
        task, device = self.parts.task, self.parts.execution.device
        items = some_of(len(self.train), _IMAGES, "watch")
        pixels = torch.from_numpy(np.array(self.train.images[items]))
        image = self.parts.model.normalise(to_float(pixels).to(device))
        targets = {name: _on(value, device) for name, value in self.train.targets(items).items()}
        batch = Batch({"image": image, **targets}, torch.from_numpy(items))

        def loss(watched: nn.Module, batch: Batch) -> Tensor:
            return task.losses(nn.ModuleDict({"network": watched}), batch, "network")["loss"]

        rows = flow(network, batch, loss)
        counts = {}
        for name, weight in network.named_parameters():
            if weight.ndim < 2:
                continue
            values = weight.detach().float().cpu()
            if name not in self.edges:
                # Twice as far as at first, for weights that grow.
                self.edges[name] = (2 * common_edges([values], _BINS)).tolist()
            counts[name] = histogram(values, torch.tensor(self.edges[name])).tolist()
        return {
            "rows": [_finite(asdict(row)) for row in rows],
            "weights": counts,
            "edges": {name: [edges[0], edges[-1]] for name, edges in self.edges.items()},
        }

    def follow(self, event: Mapping[str, Any]) -> None:
        """Take the edges of a moment that was written before."""
        for name, (low, high) in event["edges"].items():
            self.edges[name] = torch.linspace(low, high, _BINS + 1, dtype=torch.float64).tolist()


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """Values as JSON has them: a number that is not finite is null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }


def _on(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, Tensor) else value
