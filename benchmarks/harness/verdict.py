"""What the figures say, in a few lines: ahead or behind, by how much, where not."""

from collections.abc import Mapping
from typing import Any

from benchmarks.harness.statistic import Summary, geometric_mean
from benchmarks.harness.table import summaries
from benchmarks.workers.cases import CASES

__all__ = ["best_tuned", "error_verdict", "throughput_verdict"]

_OURS = "striate"
_EAGER = "torch"
_TUNED = ("torch-tuned", "torch-compile", "torch-compile-nhwc")
_NAMED = ("tutorial", "resnet20", "resnet18", "keras")
"""Ordinary recipes; the airbench recipe, made for speed, is compared on its own."""


def best_tuned(row: Mapping[str, Summary]) -> tuple[str, float] | None:
    """The fastest float32 PyTorch of a network: name and images a second."""
    found = [(row[peer].median, peer) for peer in _TUNED if peer in row]
    if not found:
        return None
    speed, peer = max(found)
    return peer, speed


def throughput_verdict(content: Mapping[str, Any]) -> list[str]:
    """The geometric means over the networks that are mostly 3×3, and where Striate is slower."""
    table = summaries(content, lambda value: value.get("images_per_second", 0.0))
    eager, tuned, slower = {}, {}, []
    for case, row in table.items():
        if case not in CASES or _OURS not in row:
            continue
        ours = row[_OURS].median
        if _EAGER in row:
            eager[case] = ours / row[_EAGER].median
        best = best_tuned(row)
        if best is not None:
            tuned[case] = ours / best[1]
            if tuned[case] < 1:
                slower.append(f"{CASES[case].title} ({tuned[case]:.2f} times {best[0]})")
    lines = []
    for name, ratios in (("PyTorch eager", eager), ("the best-tuned PyTorch", tuned)):
        counted = [ratio for case, ratio in ratios.items() if CASES[case].mostly_3x3]
        if counted:
            lines.append(
                f"Striate trains {geometric_mean(counted):.2f} times as fast as {name} "
                f"(geometric mean over {len(counted)} network(s), mostly 3×3 convolutions)."
            )
    if tuned:
        where = "; ".join(slower) or f"none of the {len(tuned)} network(s) measured"
        lines.append(f"Slower than the best-tuned PyTorch on: {where}.")
    return lines


def error_verdict(content: Mapping[str, Any]) -> list[str]:
    """For each budget: Striate's error beside the best ordinary recipe's, and its punctuality.

    Cold is compared with cold where the peers were measured so, else with warm.
    """
    errors = summaries(content, lambda value: value["test_error"])
    seconds = summaries(content, lambda value: value["seconds"])
    lines = []
    for budget in sorted(errors, key=float):
        for ours, words in (("striate-warm", "warm"), ("striate", "cold")):
            if ours not in errors[budget]:
                continue
            mine = errors[budget][ours].median
            late = seconds[budget][ours].median / float(budget) - 1
            line = f"{float(budget):g} s, {words}: {mine:.2%} error, {late:+.1%} of the time"
            found = {
                peer: errors[budget].get(f"{peer}-{words}", errors[budget].get(peer))
                for peer in (*_NAMED, "airbench")
            }
            medians = {peer: summary.median for peer, summary in found.items() if summary}
            fast = medians.pop("airbench", None)
            if medians:
                peer = min(medians, key=lambda name: medians[name])
                best = medians[peer]
                line += f"; best ordinary recipe {best:.2%} ({peer}): {_less(mine, best)}"
            if fast is not None:
                line += f"; airbench's recipe {fast:.2%}: {_less(mine, fast)}"
            lines.append(f"{line}.")
    return lines


def _less(mine: float, other: float) -> str:
    if other == 0:
        return "no ratio"
    change = mine / other - 1
    return f"{abs(change):.0%} {'less' if change < 0 else 'more'} error"
