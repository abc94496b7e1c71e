"""A line of text for each image."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from striate.data.field.field import PADDING, Column, Field, padded, raw_value
from striate.errors import DataError

if TYPE_CHECKING:
    from striate.data.source import Item, Source


class Text(Field):
    """Characters; values are (L,) int64 indices into the alphabet, of any length L.

    A batch is (B, longest), padded with -1.

    Args:
        alphabet: Characters that may occur, each once.
    """

    kind = "text"

    def __init__(self, alphabet: str) -> None:
        self.alphabet = alphabet

    @classmethod
    def of(cls, source: "Source", name: str) -> "Text":
        known = (item for item in source.items if item.split != "test")
        return cls("".join(sorted(set("".join(raw_value(item, name) for item in known)))))

    def read(self, item: "Item") -> np.ndarray:
        return self.indices(raw_value(item, self.kind), item.name)

    def indices(self, text: str, name: str = "The text") -> np.ndarray:
        """The text as indices (L,).

        Raises:
            DataError: a character that the alphabet lacks.
        """
        unknown = sorted(set(text) - set(self.alphabet))
        if unknown:
            raise DataError(
                f"{name}: the text {text!r} has {''.join(unknown)!r}, which no training text has. "
                f"The alphabet is {self.alphabet!r}."
            )
        return np.array([self.alphabet.index(letter) for letter in text], dtype=np.int64)

    def string(self, indices: Any) -> str:
        """The text that indices stand for; padding is passed over."""
        return "".join(self.alphabet[i] for i in indices if i != PADDING)

    def column(self, values: Sequence[np.ndarray]) -> Column:
        return [np.asarray(value, dtype=np.int64) for value in values]

    def collate(self, values: Column) -> Tensor:
        return padded(values, np.zeros(0, np.int64))

    def line(self, value: np.ndarray | np.generic) -> str:
        return self.string(value)

    def summary(self, column: Column) -> str:
        lengths = [len(value) for value in column]
        return f"texts of {min(lengths)} to {max(lengths)} of {len(self.alphabet)} characters"
