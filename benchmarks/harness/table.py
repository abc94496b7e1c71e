"""Results read back: case by peer, as summaries and as Markdown."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks.harness.statistic import Summary, summary

__all__ = ["failures", "markdown", "summaries", "versions"]

Figure = Callable[[dict[str, Any]], float]


def summaries(
    content: Mapping[str, Any], figure: Figure, *, case: str | None = None
) -> dict[str, dict[str, Summary]]:
    """case -> peer -> summary over the repeats of what `figure` reads from a measurement."""
    values: dict[str, dict[str, list[float]]] = {}
    for record in content["records"]:
        if "error" not in record and case in (None, record["case"]):
            row = values.setdefault(record["case"], {})
            row.setdefault(record["peer"], []).append(figure(record["value"]))
    return {
        name: {peer: summary(found) for peer, found in row.items()} for name, row in values.items()
    }


def failures(content: Mapping[str, Any]) -> list[str]:
    """One line for each peer that is absent, and for each measurement that failed."""
    absent = [f"`{peer}` is absent: {_short(why)}" for peer, why in content["absent"].items()]
    failed = [record for record in content["records"] if "error" in record]
    return absent + [
        f"`{record['peer']}` failed on {record['case']}: {_short(record['error'])}"
        for record in failed
    ]


def versions(content: Mapping[str, Any]) -> dict[str, str]:
    """Library -> version, of all measurements."""
    found: dict[str, str] = {}
    for record in content["records"]:
        found |= record.get("value", {}).get("versions", {})
    return dict(sorted(found.items()))


def markdown(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; bars in cells are escaped."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _short(text: str, most: int = 160) -> str:
    last = " ".join(text.split())
    return last if len(last) <= most else f"… {last[-most:]}"
