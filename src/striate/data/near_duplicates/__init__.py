"""Which pictures are one picture: near duplicates, found without comparing all with all."""

from striate.data.near_duplicates.group import joined
from striate.data.near_duplicates.pair import Pairs, find_pairs

__all__ = ["Pairs", "find_pairs", "joined"]
