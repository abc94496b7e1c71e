"""A part of a set for a quick try: a few images of each class, drawn by their names.

Images that the source itself puts into its test split all stay: the sealed split is that of the
whole set, and so is its ledger.
"""

import hashlib
from collections import defaultdict

from striate.data.field.value import are_values
from striate.data.source import Item, Listing
from striate.errors import DataError

_LEAST = 3
"""Images of a class: one to train, one to validate and one to test on."""


def limited(listing: Listing, limit: int) -> Listing:
    """The listing with at most so many items outside a declared test split, of all classes alike.

    Raises:
        DataError: there are more classes than such items suffice for.

    Example:
        >>> items = tuple(Item(f"{k}.png", k % 2, None) for k in range(100))
        >>> part = limited(Listing(("a", "b"), items), 10)
        >>> len(part.items), sum(item.label for item in part.items)
        (10, 5)
    """
    free = [item for item in listing.items if item.split != "test"]
    if len(free) <= limit:
        return listing
    classes = () if are_values(listing.class_names) else listing.class_names
    needed = _LEAST * len(classes)
    if limit < needed:
        raise DataError(
            f"--limit {limit} is too few for {len(classes)} classes: with {_LEAST} images of each "
            f"it is {needed} or more."
        )
    of_class: dict[int, list[Item]] = defaultdict(list)
    for item in sorted(free, key=_drawn):
        of_class[item.label if classes else 0].append(item)
    # Every class at first, then each by its share.
    ordered = sorted(
        (number >= _LEAST, (number + 0.5) / len(items), item.name)
        for items in of_class.values()
        for number, item in enumerate(items)
    )
    chosen = {name for _, _, name in ordered[:limit]}
    items = tuple(i for i in listing.items if i.split == "test" or i.name in chosen)
    note = (
        f"{limit:,} of the {len(free):,} images outside a declared test split were taken "
        "(--limit): all figures are those of a quick try."
    )
    return listing._replace(items=items, notes=(*listing.notes, note))


def _drawn(item: Item) -> bytes:
    """Sort key of an order that is drawn from the names alone."""
    return hashlib.blake2b(item.name.encode("utf-8", "surrogateescape"), digest_size=16).digest()
