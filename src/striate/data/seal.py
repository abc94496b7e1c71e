"""The sealed test split: it says what it is and how large, and opens only to an `Opening`.

Pixels and labels of the test split lie in files of their own. Nothing reads them before
`read`, except that `check` compares them with their digests; and `read` asks for the entry that
the ledger of openings made and flushed to the disk.

`issue` is the one registrar of openings, and `evaluation.open_test` is its one caller. An
`Opening` that did not come from there, or that was used already, opens nothing. Python cannot
make a forgery impossible: whoever calls `issue` or `_load` reads the images without a line in
the ledger. But nobody who is honest does so by accident.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakSet

from striate.errors import SealedTestError

if TYPE_CHECKING:
    from striate.data.part import ImageSet


# Equal by identity: a copy, or one made by hand with the same fields, is another object.
@dataclass(frozen=True, eq=False)
class Opening:
    """One opening of one test split, which opens it once.

    Only those that `issue` hands out open anything; one that is made by hand does not. Python
    cannot make a forgery impossible, but an honest person cannot do it by accident.
    """

    test_digest: str
    """Digest of the test split that is opened."""
    number: int
    """Which opening of this test split it is, from 1."""
    entry_hash: str
    """Hash of the line in the ledger."""


_unused: WeakSet[Opening] = WeakSet()
"""Issued in this process and not read with yet."""


def issue(test_digest: str, number: int, entry_hash: str) -> Opening:
    """A new opening of a test split; for the ledger alone, once its line is on the disk.

    Args:
        test_digest: Digest of the split.
        number: Number of the opening of this split, from 1.
        entry_hash: Hash of the line in the ledger.
    """
    opening = Opening(test_digest, number, entry_hash)
    _unused.add(opening)
    return opening


@dataclass(frozen=True)
class SealedSplit:
    """A test split whose pixels and labels stay on the disk until it is opened."""

    digest: str
    """Names the contents (classes and pixels), whatever their path, order or input size."""
    num_items: int
    _load: Callable[[], "ImageSet"] = field(repr=False, compare=False)
    _check: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)

    def __len__(self) -> int:
        return self.num_items

    def check(self) -> None:
        """Compare the stored files with their digests; nothing of what they hold is given out.

        Raises:
            DataError: the cached test images are missing or were altered.
        """
        self._check()

    def read(self, opening: Opening) -> "ImageSet":
        """The test images and labels.

        Args:
            opening: the ledger's entry for this very split, from `evaluation.open_test`; it
                is used up, even when reading fails.

        Raises:
            SealedTestError: no opening came, or one of another test split, or one that the
                ledger did not issue in this process, or that was used already.
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
        try:
            _unused.remove(opening)
        except KeyError:
            raise SealedTestError(
                f"Opening {opening.number} opens nothing: it was used already, or the ledger did "
                "not issue it in this process. Each reading needs an opening of its own: evaluate "
                "the run (striate evaluate RUN), which writes it to the ledger."
            ) from None
        return self._load()
