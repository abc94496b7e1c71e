"""One step's items: a tensor for each field."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """One step's items: a tensor for each field, and their indices in the split.

    Args:
        fields: Tensors (B, ...) by name of the field; "image" is (B, C, H, W), normalised.
        items: Index of each item in its split (B,).
    """

    fields: Mapping[str, Tensor]
    items: Tensor

    def __getitem__(self, name: str) -> Tensor:
        return self.fields[name]

    def __len__(self) -> int:
        return len(self.items)

    def chunk(self, size: int | None) -> Iterator["Batch"]:
        """Parts of at most `size` items; None: the whole batch at once."""
        if size is None or size >= len(self):
            yield self
            return
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield Batch({k: v[part] for k, v in self.fields.items()}, self.items[part])

    def with_field(self, name: str, value: Tensor) -> "Batch":
        """The batch with one field replaced."""
        return replace(self, fields={**self.fields, name: value})
