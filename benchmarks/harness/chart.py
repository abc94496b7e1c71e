"""Pictures of results: bars for each case, curves over a budget."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness.statistic import Summary

__all__ = ["bars", "curves"]

# Okabe & Ito's colours, which people with any colour vision tell apart; Striate's is the first.
_COLOURS = (
    "#D55E00",
    "#0072B2",
    "#56B4E9",
    "#009E73",
    "#7FC8A9",
    "#CC79A7",
    "#E69F00",
    "#B8A000",
    "#8C6D31",
    "#666666",
)


def bars(
    path: Path,
    table: Mapping[str, Mapping[str, Summary]],
    peers: Mapping[str, str],
    *,
    label: str,
    base: str | None = None,
    cases: Mapping[str, str] | None = None,
) -> None:
    """One group of bars a case, one bar a peer, whiskers over the range.

    Args:
        path: of the SVG file.
        table: case -> peer -> summary.
        peers: name -> title, in their order.
        label: of the value axis.
        base: the peer that counts as one; None: the values themselves.
        cases: name -> title.
    """
    figure, axes = _figure()
    names = [case for case in table if base is None or base in table[case]]
    shown = [peer for peer in peers if any(peer in table[case] for case in names)]
    width = 0.84 / max(1, len(shown))
    for place, peer in enumerate(shown):
        places, heights, ends = [], [], ([], [])
        for number, case in enumerate(names):
            found = table[case].get(peer)
            if found is None:
                continue
            unit = 1.0 if base is None else table[case][base].median
            places.append(number - 0.42 + (place + 0.5) * width)
            heights.append(found.median / unit)
            ends[0].append((found.median - found.low) / unit)
            ends[1].append((found.high - found.median) / unit)
        colour = _colour(peer, list(peers))
        axes.bar(places, heights, width, yerr=ends, label=peers[peer], color=colour, ecolor="#333")
    axes.set_xticks(range(len(names)), [(cases or {}).get(name, name) for name in names])
    axes.set_xlim(-0.5, len(names) - 0.5)
    if base is not None:
        axes.axhline(1, color="#333", linewidth=0.8)
    axes.set_ylabel(label)
    _save(figure, axes, path)


def curves(
    path: Path,
    table: Mapping[str, Mapping[str, Summary]],
    peers: Mapping[str, str],
    *,
    labels: Sequence[str],
) -> None:
    """One line a peer over cases that are numbers, logarithmic; bars over the range."""
    figure, axes = _figure()
    for peer in peers:
        points = sorted((float(case), row[peer]) for case, row in table.items() if peer in row)
        if not points:
            continue
        x = [place for place, _ in points]
        y = [100 * found.median for _, found in points]
        ends = (
            [100 * (found.median - found.low) for _, found in points],
            [100 * (found.high - found.median) for _, found in points],
        )
        colour = _colour(peer, list(peers))
        axes.errorbar(x, y, ends, marker="o", capsize=3, label=peers[peer], color=colour)
    ticks = sorted(float(case) for case in table)
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    _save(figure, axes, path)


def _colour(peer: str, order: list[str]) -> str:
    return _COLOURS[order.index(peer) % len(_COLOURS)]


def _figure() -> tuple[Any, Any]:
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "striate"  # the same picture, the same bytes
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.8), layout="constrained", facecolor="white")
    return figure, figure.subplots()


def _save(figure: Any, axes: Any, path: Path) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#ddd")
    axes.set_axisbelow(True)
    figure.legend(loc="outside right upper", frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None})
