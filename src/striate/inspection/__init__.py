"""Inspection of a set of images before anything is learned from it.

scan → near duplicates → groups and leaks; features → out-of-fold predictions → suspected labels,
outliers; all of it → one page, one JSON file, one table.
"""

from striate.inspection.findings import Findings, inspect
from striate.inspection.page import render, write

__all__ = ["Findings", "inspect", "render", "write"]
