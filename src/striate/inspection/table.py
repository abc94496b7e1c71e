"""The findings as a table for a terminal."""

from rich.table import Table
from rich.text import Text

from striate.evaluation import percent
from striate.inspection.findings import Findings

__all__ = ["table"]


def table(found: Findings) -> Table:
    """Counts, and what is wrong, one line each."""
    counts = found.counts_per_class()
    whole = [sum(of_class) for of_class in zip(*counts.values(), strict=True)]
    small, large = min(whole), max(whole)
    splits = ", ".join(f"{sum(values):,} {split}" for split, values in counts.items())
    texts = sum(file.text for file in found.seen.broken)
    broken = len(found.seen.broken)
    rows = [
        ("images", f"{len(found.seen.items):,}", f"{splits} ({found.test_origin})"),
        ("classes", f"{len(whole):,}", f"{small:,} to {large:,} images each"),
        ("sizes", _sizes(found), ""),
        ("no picture", f"{broken:,}", f"{texts} of them text under the name of a picture"),
        ("leaks", f"{found.num_leaking:,}", "test images with their like outside the test split"),
        ("conflicts", f"{found.count('conflict'):,}", "groups of copies under several classes"),
        ("straddling", f"{found.count('straddle'):,}", "groups in training and validation"),
        ("copies", f"{found.count('within'):,}", "other groups of copies"),
        ("nearly constant", f"{len(found.constant):,}", ""),
        *_labels(found),
    ]
    shown = Table(box=None, pad_edge=False, show_header=False)
    shown.add_column()
    shown.add_column(justify="right")
    shown.add_column(overflow="fold")
    for row in rows:
        shown.add_row(*map(Text, row))
    return shown


def _labels(found: Findings) -> list[tuple[str, str, str]]:
    if found.suspects is None or found.labels is None:
        return [("suspected labels", "-", "not looked for")]
    num = len(found.suspects.items)
    told = f"of {len(found.learned):,}; {found.suspects.expected:.0f} of them expected to be wrong"
    weak = f"(the classifier that doubts them errs in {percent(found.labels.error)} %)"
    return [
        ("suspected labels", f"{num:,}", f"{told} {weak}"),
        ("outliers", f"{len(found.outliers):,}", ""),
    ]


def _sizes(found: Findings) -> str:
    heights = sorted(header.height for header in found.seen.headers)
    widths = sorted(header.width for header in found.seen.headers)
    if heights[0] == heights[-1] and widths[0] == widths[-1]:
        return f"{heights[0]}×{widths[0]}"
    return f"{heights[0]}×{widths[0]} to {heights[-1]}×{widths[-1]}"
