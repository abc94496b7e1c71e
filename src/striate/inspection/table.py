"""The findings of an inspection as a table for a terminal."""

from rich.table import Table
from rich.text import Text

from striate.evaluation import percent
from striate.inspection.findings import Findings


def table(findings: Findings) -> Table:
    """Counts, and what is wrong, one line each."""
    scan = findings.scan
    counts = findings.counts_per_class()
    per_class = [sum(of_class) for of_class in zip(*counts.values(), strict=True)]
    splits = ", ".join(f"{sum(values):,} {split}" for split, values in counts.items())
    texts = sum(file.text for file in scan.broken)
    sizes = [(min(sides), max(sides)) for sides in zip(*(h[:2] for h in scan.headers), strict=True)]
    smallest, largest = (f"{height}×{width}" for height, width in zip(*sizes, strict=True))
    classes, several = findings.class_names, "groups of copies under several classes"
    spans = f"{min(per_class):,} to {max(per_class):,} images each"
    rows = [
        ("images", f"{len(scan.items):,}", f"{splits} ({findings.test_origin})"),
        *([("classes", f"{len(per_class):,}", spans)] if classes else []),
        ("sizes", smallest if smallest == largest else f"{smallest} to {largest}", ""),
        ("no picture", f"{len(scan.broken):,}", f"{texts} of them text under a picture's name"),
        ("leaks", f"{findings.num_leaking:,}", "test images with copies outside the test split"),
        *([("conflicts", f"{findings.count('conflict'):,}", several)] if classes else []),
        ("straddling", f"{findings.count('straddle'):,}", "groups in training and validation"),
        ("copies", f"{findings.count('within'):,}", "other groups of copies"),
        ("nearly constant", f"{len(findings.constant):,}", ""),
    ]
    if findings.suspects is None or findings.labels is None:
        rows += [("suspected labels", "-", "not checked")] if classes else []
    else:
        note = (
            f"of {len(findings.learned):,}; {findings.suspects.expected:.0f} of them expected to "
            f"be wrong (the classifier that checks them errs in {percent(findings.labels.error)} %)"
        )
        rows.append(("suspected labels", f"{len(findings.suspects.items):,}", note))
        rows.append(("outliers", f"{len(findings.outliers):,}", ""))
    rows += findings.fields
    shown = Table(box=None, pad_edge=False, show_header=False)
    shown.add_column()
    shown.add_column(justify="right")
    shown.add_column(overflow="fold")
    for row in rows:
        shown.add_row(*map(Text, row))
    return shown
