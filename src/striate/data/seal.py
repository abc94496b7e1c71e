"""The sealed test split: it says what it is and how large, and opens only to an `Opening`.

Pixels and labels of the test split lie in files of their own. Nothing reads them before
`read`, and `read` asks for the entry that the ledger of openings made and flushed to the disk.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from striate.errors import SealedTestError

if TYPE_CHECKING:
    from striate.data.dataset import ImageSet

__all__ = ["Opening", "SealedSplit"]


@dataclass(frozen=True)
class Opening:
    """One opening of one test split; made by the ledger alone, after its line is on the disk."""

    test_digest: str
    """Digest of the test split that is opened."""
    number: int
    """Which opening of this test split it is, from 1."""
    entry_hash: str
    """Hash of the line in the ledger."""


@dataclass(frozen=True)
class SealedSplit:
    """A test split whose pixels and labels stay on the disk until it is opened."""

    digest: str
    """Names the contents (classes and pixels), whatever their path, order or input size."""
    num_items: int
    _load: Callable[[], "ImageSet"] = field(repr=False, compare=False)

    def __len__(self) -> int:
        return self.num_items

    def read(self, opening: Opening) -> "ImageSet":
        """The test images and labels.

        Args:
            opening: the ledger's entry for this very split.

        Raises:
            SealedTestError: no opening came, or one of another test split.
            DataError: the cached test images are missing or were altered.
        """
        if not isinstance(opening, Opening):
            raise SealedTestError(
                f"The test split is sealed; {type(opening).__name__!r} does not open it. "
                "Evaluate the run (striate evaluate RUN), which writes the opening to the ledger."
            )
        if opening.test_digest != self.digest:
            raise SealedTestError(
                f"The opening belongs to the test split {opening.test_digest[:12]}, this one is "
                f"{self.digest[:12]}: the data changed since. Evaluate the run on its own data."
            )
        return self._load()
