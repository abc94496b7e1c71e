"""The positions of the nodes and edges of a graph: a layered layout after Sugiyama.

Nodes stand in layers, every edge runs from a lower layer to a higher one; an edge that skips
layers passes through stations of its own. The order within a layer comes from barycentres, the
positions from least squares: each node as near to its neighbours as the order allows.

Coordinates are "along" (in the direction of computation) and "across"; the drawing decides
which of them is horizontal.

Source: Sugiyama, Tagawa and Toda, Methods for visual understanding of hierarchical system
structures, IEEE Trans. SMC 11(2), 1981; Gansner et al., A technique for drawing directed graphs,
IEEE Trans. Software Eng. 19(3), 1993.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from scipy.optimize import isotonic_regression

from striate.calculus.graph_data import Edge, Graph

SWEEPS = 12
"""Both orders and positions settle within about eight sweeps on graphs of a few hundred nodes."""

GAP_ACROSS = 22.0
CURVE = 46.0
"""Room between two layers in which edges may turn, pixels."""


@dataclass(frozen=True)
class Size:
    """Room of a node or a label, pixels."""

    along: float
    across: float


Point = tuple[float, float]
"""(along, across)."""

Where = Literal["source", "target", "between"]
"""Position of an edge's label: beside an end that the edge has for itself, or between."""


@dataclass
class _Box:
    """A node, or a station of an edge that passes a layer."""

    layer: int
    size: Size
    across: float = 0.0
    before: list["_Box"] = field(default_factory=list)
    after: list["_Box"] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """A finished layout."""

    nodes: tuple[Point, ...]
    """Centre of each node."""
    paths: tuple[tuple[Point, ...], ...]
    """Points that each edge passes: pairs of points on one level are drawn straight."""
    labels: tuple[Point, ...]
    """Centre of each edge's label."""
    extent: Point


def lay_out(graph: Graph, nodes: Sequence[Size], labels: Sequence[Size]) -> Layout:
    """The layout of a graph.

    Args:
        graph: Graph with its nodes in the order of computation, as `calculus.graph` gives it.
        nodes: Size of each node.
        labels: Size of each edge's label.
    """
    wheres = [_where(graph, edge) for edge in graph.edges]
    layers = _layers(graph, wheres)
    room = [size.across for size in nodes]
    for edge, where, label in zip(graph.edges, wheres, labels, strict=True):
        if where != "between":
            end = edge.source if where == "source" else edge.target
            room[end] = max(room[end], label.across)
    boxes = [_Box(layers[i], Size(size.along, room[i])) for i, size in enumerate(nodes)]
    rows: list[list[_Box]] = [[] for _ in range(max(layers) + 1)]
    for box in boxes:
        rows[box.layer].append(box)
    chains = []
    for edge, where, label in zip(graph.edges, wheres, labels, strict=True):
        between = range(layers[edge.source] + 1, layers[edge.target])
        stations = [_Box(layer, Size(0.0, 8.0)) for layer in between]
        if where == "between":
            stations[0].size = label
        for station in stations:
            rows[station.layer].append(station)
        chain = [boxes[edge.source], *stations, boxes[edge.target]]
        for one, following in itertools.pairwise(chain):
            one.after.append(following)
            following.before.append(one)
        chains.append(chain)
    rows = _order(rows)
    _set_across(rows)
    return _finish(boxes, chains, rows, wheres, labels)


def _where(graph: Graph, edge: Edge) -> Where:
    if len(graph.out_of(graph.nodes[edge.source])) == 1:
        return "source"
    return "target" if len(graph.into(graph.nodes[edge.target])) == 1 else "between"


def _layers(graph: Graph, wheres: Sequence[Where]) -> list[int]:
    """Longest path from the inputs; a node without inputs moves up to its first use."""
    edges = [(e, 2 if w == "between" else 1) for e, w in zip(graph.edges, wheres, strict=True)]
    layers = [0] * len(graph.nodes)
    # Sources stand before their targets, so that each source is settled when it is used.
    for edge, length in sorted(edges, key=lambda pair: pair[0].target):
        layers[edge.target] = max(layers[edge.target], layers[edge.source] + length)
    for node in graph.nodes:
        uses = [layers[e.target] - length for e, length in edges if e.source == node.id]
        if uses and not graph.into(node):
            layers[node.id] = min(uses)
    return layers


def _order(rows: list[list[_Box]]) -> list[list[_Box]]:
    """The order within each layer with the fewest crossings that barycentre sweeps find."""
    best, fewest = [row[:] for row in rows], _crossings(rows)
    for sweep in range(SWEEPS):
        if fewest == 0:
            break
        forward = sweep % 2 == 0
        for row in rows if forward else reversed(rows):
            position = _positions(rows)
            middle = {}
            for box in row:
                near = (box.before if forward else box.after) or [box]
                middle[id(box)] = sum(position[id(other)] for other in near) / len(near)
            row.sort(key=lambda box: middle[id(box)])
        crossings = _crossings(rows)
        if crossings < fewest:
            best, fewest = [row[:] for row in rows], crossings
    return best


def _positions(rows: list[list[_Box]]) -> dict[int, int]:
    return {id(box): i for row in rows for i, box in enumerate(row)}


def _crossings(rows: list[list[_Box]]) -> int:
    position = _positions(rows)
    count = 0
    for row in rows:
        ends = [(position[id(box)], position[id(o)]) for box in row for o in box.after]
        for (a, b), (c, d) in itertools.combinations(ends, 2):
            count += (a - c) * (b - d) < 0
    return count


def _set_across(rows: list[list[_Box]]) -> None:
    """Move each box as near to its neighbours as the order of its layer allows."""
    offsets = []
    for row in rows:
        pairs = itertools.pairwise(row)
        apart = ((a.size.across + b.size.across) / 2 + GAP_ACROSS for a, b in pairs)
        offsets.append(list(itertools.accumulate(apart, initial=0.0)))
        for box, offset in zip(row, offsets[-1], strict=False):
            box.across = offset
    for sweep in range(2 * SWEEPS):
        forward = sweep % 2 == 0
        for i in range(len(rows)) if forward else reversed(range(len(rows))):
            wished = []
            for box, offset in zip(rows[i], offsets[i], strict=False):
                ends = (box.before, box.after) if forward else (box.after, box.before)
                near = ends[0] or ends[1]
                middle = sum(other.across for other in near) / len(near) if near else 0.0
                wished.append(middle - offset)
            rising = isotonic_regression(wished).x.tolist() if wished else []
            for box, value, offset in zip(rows[i], rising, offsets[i], strict=False):
                box.across = value + offset


def _finish(
    boxes: list[_Box],
    chains: list[list[_Box]],
    rows: list[list[_Box]],
    wheres: Sequence[Where],
    labels: Sequence[Size],
) -> Layout:
    along = _along(chains, rows, wheres, labels)
    everything = [box for row in rows for box in row]
    first = min(box.across - box.size.across / 2 for box in everything)
    for box in everything:
        box.across -= first
    paths, spots = [], []
    for (source, *stations, target), where, label in zip(chains, wheres, labels, strict=True):
        start = along[source.layer] + source.size.along / 2
        end = along[target.layer] - target.size.along / 2
        points = [(start, source.across)]
        if where == "source":
            points.append((start + label.along, source.across))
            spots.append((start + label.along / 2, source.across))
        for station in stations:
            half = station.size.along / 2
            points.append((along[station.layer] - half, station.across))
            points.append((along[station.layer] + half, station.across))
        if where == "between":
            spots.append((along[stations[0].layer], stations[0].across))
        elif where == "target":
            points.append((end - label.along, target.across))
            spots.append((end - label.along / 2, target.across))
        paths.append((*points, (end, target.across)))
    extent = (
        max(along[box.layer] + box.size.along / 2 for box in everything),
        max(box.across + box.size.across / 2 for box in everything),
    )
    nodes = tuple((along[box.layer], box.across) for box in boxes)
    return Layout(nodes, tuple(paths), tuple(spots), extent)


def _along(
    chains: list[list[_Box]],
    rows: list[list[_Box]],
    wheres: Sequence[Where],
    labels: Sequence[Size],
) -> list[float]:
    """The centre of each layer: room for its widest box, and between layers for labels."""
    leaving, arriving = [0.0] * len(rows), [0.0] * len(rows)
    for chain, where, label in zip(chains, wheres, labels, strict=True):
        if where == "source":
            leaving[chain[0].layer] = max(leaving[chain[0].layer], label.along)
        elif where == "target":
            arriving[chain[-1].layer] = max(arriving[chain[-1].layer], label.along)
    centres, position = [], 0.0
    for row, before, behind in zip(rows, arriving, leaving, strict=True):
        half = max((box.size.along for box in row), default=0.0) / 2
        centres.append(position + before + half)
        position += before + 2 * half + behind + CURVE
    return centres
