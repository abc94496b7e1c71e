"""The table of a network: a row for each call of a layer, what it costs, and what it sees.

A multiply-add (MAC) is a product and its addition to a sum; papers that give "FLOPs" of networks
mostly mean these. Here 1 multiply-add = 2 FLOP.
"""

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.calculus.cost import layer_costs, seconds_now
from striate.errors import ConfigError
from striate.layers.geometry.row import Trace
from striate.layers.geometry.trace import trace
from striate.layers.geometry.track import tensors
from striate.randomness import layer_randomness
from striate.seeing.kept import Kept, kept_for_backward
from striate.seeing.peak import Peak, measured_peak
from striate.seeing.row import Row, row_of, timed, together
from striate.seeing.twin import own_copy, twin
from striate.typed_json import JsonRecord

__all__ = ["Block", "Table", "table"]


@dataclass(frozen=True)
class Block(JsonRecord):
    """One call of a module with modules inside."""

    row: Row
    """All that happens inside, with the output of the whole."""
    start: int
    """Index of its first row."""
    stop: int
    """Index after its last row."""


@dataclass(frozen=True)
class Table(JsonRecord):
    """Rows in the order of the calls, and what belongs to the network as a whole."""

    network: str
    input_shape: tuple[int, ...]
    """Of one image, (C, *S)."""
    batch_size: int
    rows: tuple[Row, ...]
    blocks: tuple[Block, ...]
    """Those inside others first."""
    parameters: int
    """Of the whole network; more than the rows have where modules do not run in evaluation."""
    kept_between: int
    """Bytes kept for the backward pass outside all rows: by functions between layers, and by
    layers that only run in training."""
    only_in_training: tuple[str, ...]
    """Modules that keep something in training and do not run in evaluation."""
    forward: float | None
    """Median seconds of the whole network in training mode; None: not measured."""
    backward: float | None
    peak: Peak | None

    @property
    def total(self) -> Row:
        """The sums over all rows, named "total", and what is kept between them."""
        row = together(replace(self.rows[-1], name="total", kind=self.network), self.rows)
        return replace(row, kept_bytes=row.kept_bytes + self.kept_between)

    def folded(self, depth: int) -> tuple[Row, ...]:
        """The rows, with a single one for each module whose path has `depth` names.

        Args:
            depth: 1 for the network's own parts, 2 for the parts of these, ...; 0 folds nothing.
        """
        if depth < 1:
            return self.rows
        blocks = {
            block.start: block
            for block in self.blocks
            if _names(block.row.name) == depth and block.stop > block.start
        }
        rows: list[Row] = []
        index = 0
        while index < len(self.rows):
            block = blocks.get(index)
            rows.append(self.rows[index] if block is None else block.row)
            index = index + 1 if block is None else block.stop
        # Parts of a list of modules, which never runs itself, have no block.
        groups = groupby(rows, lambda row: ".".join(row.name.split(".")[:depth]))
        return tuple(_group(name, list(inside)) for name, inside in groups)

    def to_json(self) -> dict[str, Any]:
        """All rows, blocks and totals."""
        return super().to_json() | {"total": self.total.to_json()}


def table(
    network: nn.Module,
    images: Float[Tensor, "B C *S"],
    *,
    measure: bool = False,
    repeats: int = 15,
    peak: Peak | None = None,
    clock: Callable[[], float] | None = None,
) -> Table:
    """Count what each layer of a network costs and sees, and measure it if asked for.

    Rows are those of the ledger (`striate.layers.geometry.ledger`), in evaluation mode. Memory
    kept for the backward pass and times are those of a copy in training mode.

    Args:
        network: Any module; left as it is.
        images: A batch as the network takes it. On torch's "meta" device, with a network there,
            nothing is computed.
        measure: Whether forward and backward passes are timed as well.
        repeats: Rounds of all layers that are timed.
        peak: The machine's best; None: it is measured if times are.
        clock: Function that returns seconds; by default the machine's.

    Raises:
        ShapeError: images that the network cannot take.
        ConfigError: a network that cannot be copied or has no layers, repeats below 1, or a device
            that computes nothing where times are to be measured.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
        >>> total = table(network, torch.zeros(2, 3, 9, 8)).total
        >>> total.parameters, total.multiply_adds, total.kept_bytes
        (186, 5976, 3072)
    """
    network = getattr(network, "_orig_mod", network)  # what torch.compile wraps
    if measure and images.is_meta:
        raise ConfigError(
            "The device meta computes nothing, so that nothing can be measured on it."
        )
    traced = trace(twin(network), tuple(images.shape[1:]))
    if not traced.steps:
        raise ConfigError(f"{type(network).__name__} has no layer that runs.")
    kept = kept_for_backward(network, images)
    calls = _calls([step.name for step in traced.steps])
    rows = [
        row_of(step, len(images), kept.calls.get(call, 0))
        for step, call in zip(traced.steps, calls, strict=True)
    ]
    forward = backward = None
    if measure:
        peak = peak or measured_peak(images.device, clock=clock)
        with layer_randomness(0, "table"):
            costs = layer_costs(network, images, repeats=repeats, clock=clock)
            forward, backward = _whole(network, images, repeats, clock)
        by_call = dict(zip(_calls([cost.name for cost in costs]), costs, strict=True))
        pairs = zip(rows, calls, strict=True)
        rows = [timed(row, peak, by_call.get(call)) for row, call in pairs]
    running = {step.name for step in traced.steps} | {block.row.name for block in traced.blocks}
    return Table(
        network=type(network).__name__,
        input_shape=tuple(images.shape[1:]),
        batch_size=len(images),
        rows=tuple(rows),
        blocks=_blocks(traced, rows, kept, set(calls), len(images)),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        kept_between=kept.total - sum(row.kept_bytes for row in rows),
        only_in_training=tuple(dict.fromkeys(n for n, _ in kept.calls if n not in running)),
        forward=forward,
        backward=backward,
        peak=peak,
    )


def _calls(names: Sequence[str]) -> list[tuple[str, int]]:
    """Each name with the number of those before it that are the same."""
    counts: Counter[str] = Counter()
    calls = []
    for name in names:
        calls.append((name, counts[name]))
        counts[name] += 1
    return calls


def _blocks(
    traced: Trace, rows: list[Row], kept: Kept, listed: set[tuple[str, int]], batch_size: int
) -> tuple[Block, ...]:
    """The blocks, with what is kept between the layers inside them."""
    blocks: list[Block] = []
    open_blocks: list[tuple[Block, int]] = []
    for block, call in zip(
        traced.blocks, _calls([block.row.name for block in traced.blocks]), strict=True
    ):
        name = block.row.name
        between = 0 if call in listed else kept.calls.get(call, 0)
        while open_blocks and _is_inside(open_blocks[-1][0], name, block.start):
            between += open_blocks.pop()[1]
        inside = rows[block.start : block.stop]
        row = together(row_of(block.row, batch_size, 0), inside)
        row = replace(row, kept_bytes=row.kept_bytes + between)
        blocks.append(Block(row, block.start, block.stop))
        open_blocks.append((blocks[-1], between))
    return tuple(blocks)


def _is_inside(block: Block, name: str, start: int) -> bool:
    return block.start >= start and (not name or block.row.name.startswith(f"{name}."))


def _names(path: str) -> int:
    """The number of names in a module's path."""
    return len(path.split(".")) if path else 0


def _group(name: str, rows: list[Row]) -> Row:
    """Rows of one part as one."""
    if len(rows) == 1 and rows[0].name == name:
        return rows[0]
    kinds = {row.kind for row in rows if row.name == name}
    return together(replace(rows[-1], name=name, kind=kinds.pop() if len(kinds) == 1 else ""), rows)


def _whole(
    network: nn.Module, images: Tensor, repeats: int, clock: Callable[[], float] | None
) -> tuple[float, float | None]:
    """Median seconds of the network's forward and backward pass; the first round warms up."""
    copied = own_copy(network).train()
    read = clock or partial(seconds_now, images.device)
    forward: list[float] = []
    backward: list[float] = []
    for _ in range(repeats + 1):
        x = images.detach().clone()
        with torch.enable_grad():
            start = read()
            outputs = copied(x)
            forward.append(read() - start)
            sums = [y.sum() for y in tensors(outputs) if y.requires_grad]
        if sums:
            total = torch.stack(sums).sum()
            start = read()
            total.backward()  # type: ignore[no-untyped-call]
            backward.append(read() - start)
        copied.zero_grad(set_to_none=True)
    return statistics.median(forward[1:]), statistics.median(backward[1:]) if backward else None
