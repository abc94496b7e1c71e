"""Near duplicates: find which images show one picture, without comparing all with all."""

from striate.data.near_duplicates.group import connected
from striate.data.near_duplicates.pair import Pairs, find_pairs

__all__ = ["Pairs", "connected", "find_pairs"]
