"""Records of each call of a layer, of each block of layers, and of the whole network."""

from dataclasses import dataclass, field

from striate.layers.geometry.field import Status
from striate.layers.geometry.reads import Unread
from striate.layers.geometry.track import Track


@dataclass
class LayerRow:
    """One call of one layer; the numbers are for one item."""

    name: str
    """Name of `named_modules`; a module that is called twice has two rows."""
    kind: str
    output_shape: tuple[int, ...] = ()
    """Without the batch."""
    parameters: int = 0
    """Parameters of the layer itself and those that it borrows from one that has no row yet, at
    its first call; 0 afterwards."""
    multiply_adds: int = 0
    """Multiply-adds of products and convolutions, without biases, norms and activations."""
    uncounted: tuple[str, ...] = ()
    """Operations whose multiply-adds nobody knows, which are not in the count."""
    image_bytes: int = 0
    """Bytes that its operations read and write for each item."""
    weight_bytes: int = 0
    """Bytes that they read once for the batch: weights and constants."""
    unread: tuple[Unread, ...] = ()
    """Along each axis of the layer's input, positions that nothing reads; empty: all are read."""
    track: Track | None = None

    @property
    def field_size(self) -> tuple[int, ...] | None:
        """Receptive field per axis, input pixels; None: it could not be followed."""
        return None if self.track is None else tuple(axis.field.size for axis in self.track)

    @property
    def field_stride(self) -> tuple[float, ...] | None:
        """Input pixels from one unit to the next; 0: every unit sees the same."""
        return None if self.track is None else tuple(float(a.field.stride) for a in self.track)

    @property
    def field_centre(self) -> tuple[float, ...] | None:
        """Middle of the field of unit 0, input pixels."""
        return None if self.track is None else tuple(axis.field.centre for axis in self.track)

    @property
    def field_status(self) -> Status | None:
        """How far these three can be trusted, along the worst axis; None: they are not known."""
        known = {axis.field.status for axis in self.track or ()}
        order: tuple[Status, ...] = ("depends on data", "bound", "exact")
        return next((status for status in order if status in known), None)


@dataclass
class Block:
    """One call of a module with modules inside."""

    row: LayerRow
    """Its output, and what it does itself beside the layers inside."""
    start: int
    """Index of its first layer in the table."""
    stop: int
    """Index after its last one."""


@dataclass
class Trace:
    """All calls of a network's layers in order, and the fields of its outputs."""

    steps: list[LayerRow] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    """All calls of modules with modules inside, those inside others first."""
    output: Track | None = None
    lost_at: str | None = None
    """The first operation through which fields could not be followed."""
