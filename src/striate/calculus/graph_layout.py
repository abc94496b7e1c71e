"""Where the nodes and edges of a graph go: a layered layout after Sugiyama, in plain Python.

Nodes stand in layers, every edge runs from a lower layer to a higher one; an edge that skips
layers passes through stations of its own. The order within a layer comes from barycentres, the
places from least squares: each node as near to its neighbours as the order allows.

Coordinates are "along" (in the direction of computation) and "across"; the drawing decides
which of them is horizontal.

Source: Sugiyama, Tagawa and Toda, Methods for visual understanding of hierarchical system
structures, IEEE Trans. SMC 11(2), 1981; Gansner et al., A technique for drawing directed graphs,
IEEE Trans. Software Eng. 19(3), 1993.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from striate.calculus.graph_data import Graph

__all__ = ["Layout", "Size", "lay_out"]

SWEEPS = 12
"""Both orders and places settle within about eight sweeps on graphs of a few hundred nodes."""

GAP_ACROSS = 22.0
CURVE = 46.0
"""Room between two layers in which edges may turn, pixels."""


@dataclass(frozen=True)
class Size:
    """What a node or a label needs, pixels."""

    along: float
    across: float


@dataclass
class _Place:
    """A node, or a station of an edge that passes a layer."""

    layer: int
    size: Size
    across: float = 0.0
    before: list[int] = field(default_factory=list)
    after: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """The finished layout; all points are (along, across)."""

    nodes: tuple[tuple[float, float], ...]
    """Centre of each node."""
    paths: tuple[tuple[tuple[float, float], ...], ...]
    """For each edge the points it passes: pairs of points on one level are drawn straight."""
    labels: tuple[tuple[float, float], ...]
    """Centre of each edge's label."""
    extent: tuple[float, float]


def lay_out(graph: Graph, nodes: Sequence[Size], labels: Sequence[Size]) -> Layout:
    """The layout of a graph.

    Args:
        graph: any graph without cycles, as `calculus.graph` gives it.
        nodes: the size of each node.
        labels: the size of each edge's label.
    """
    layers = _layers(graph)
    room = [size.across for size in nodes]
    for number, edge in enumerate(graph.edges):
        where = _where(graph, number)
        if where != "between":
            end = edge.source if where == "source" else edge.target
            room[end] = max(room[end], labels[number].across)
    places = [
        _Place(layers[node.id], Size(nodes[node.id].along, room[node.id])) for node in graph.nodes
    ]
    stations: list[list[int]] = []
    for number, edge in enumerate(graph.edges):
        chain = [edge.source]
        labelled = _where(graph, number) == "between"
        for layer in range(layers[edge.source] + 1, layers[edge.target]):
            size = labels[number] if labelled else Size(0.0, 8.0)
            labelled = False
            places.append(_Place(layer, size))
            chain.append(len(places) - 1)
        chain.append(edge.target)
        for one, next_one in itertools.pairwise(chain):
            places[one].after.append(next_one)
            places[next_one].before.append(one)
        stations.append(chain)
    rows = _order(places)
    _set_across(places, rows)
    along = _along(graph, places, rows, labels)
    return _finish(graph, places, stations, along, labels)


def _where(graph: Graph, number: int) -> str:
    """Where an edge's label stands: beside an end that the edge has for itself, or between."""
    edge = graph.edges[number]
    if len(graph.out_of(graph.nodes[edge.source])) == 1:
        return "source"
    return "target" if len(graph.into(graph.nodes[edge.target])) == 1 else "between"


def _layers(graph: Graph) -> list[int]:
    """Longest path from the inputs; what has no inputs itself moves up to its first use."""
    lengths = [2 if _where(graph, number) == "between" else 1 for number in range(len(graph.edges))]
    layers = [0] * len(graph.nodes)
    by_target: dict[int, list[int]] = {}
    by_source: dict[int, list[int]] = {}
    for number, edge in enumerate(graph.edges):
        by_target.setdefault(edge.target, []).append(number)
        by_source.setdefault(edge.source, []).append(number)
    for node in _topological(graph):
        for number in by_target.get(node, []):
            edge = graph.edges[number]
            layers[node] = max(layers[node], layers[edge.source] + lengths[number])
    for node in range(len(layers)):
        if node not in by_target and node in by_source:
            layers[node] = min(
                layers[graph.edges[number].target] - lengths[number] for number in by_source[node]
            )
    return layers


def _topological(graph: Graph) -> list[int]:
    waiting = [len(graph.into(node)) for node in graph.nodes]
    after: dict[int, list[int]] = {}
    for edge in graph.edges:
        after.setdefault(edge.source, []).append(edge.target)
    ready = [node.id for node in graph.nodes if waiting[node.id] == 0]
    order = []
    while ready:
        node = ready.pop(0)
        order.append(node)
        for target in after.get(node, []):
            waiting[target] -= 1
            if waiting[target] == 0:
                ready.append(target)
    return order


def _order(places: list[_Place]) -> list[list[int]]:
    """The order within each layer with the fewest crossings that barycentre sweeps find."""
    rows: list[list[int]] = [[] for _ in range(max(place.layer for place in places) + 1)]
    for number, place in enumerate(places):
        rows[place.layer].append(number)
    best, fewest = [row[:] for row in rows], _crossings(places, rows)
    for sweep in range(SWEEPS):
        if fewest == 0:
            break
        forward = sweep % 2 == 0
        for row in rows if forward else reversed(rows):
            position = {n: i for r in rows for i, n in enumerate(r)}
            middle = {}
            for number in row:
                near = places[number].before if forward else places[number].after
                spots = [position[other] for other in near] or [position[number]]
                middle[number] = sum(spots) / len(spots)
            row.sort(key=middle.__getitem__)
        crossings = _crossings(places, rows)
        if crossings < fewest:
            best, fewest = [row[:] for row in rows], crossings
    return best


def _crossings(places: list[_Place], rows: list[list[int]]) -> int:
    position = {number: i for row in rows for i, number in enumerate(row)}
    count = 0
    for row in rows:
        ends = [(position[n], position[other]) for n in row for other in places[n].after]
        for i, (a, b) in enumerate(ends):
            count += sum((a - c) * (b - d) < 0 for c, d in ends[i + 1 :])
    return count


def _set_across(places: list[_Place], rows: list[list[int]]) -> None:
    for row in rows:
        for one, next_one in itertools.pairwise(row):
            places[next_one].across = places[one].across + _apart(places, one, next_one)
    for sweep in range(2 * SWEEPS):
        forward = sweep % 2 == 0
        for row in rows if forward else reversed(rows):
            wished = []
            for number in row:
                place = places[number]
                near = place.before if forward else place.after
                near = near or (place.after if forward else place.before)
                wished.append(sum(places[o].across for o in near) / len(near) if near else 0.0)
            shift = [0.0]
            for one, next_one in itertools.pairwise(row):
                shift.append(shift[-1] + _apart(places, one, next_one))
            free = _rising([wish - s for wish, s in zip(wished, shift, strict=True)])
            for number, value, s in zip(row, free, shift, strict=True):
                places[number].across = value + s


def _apart(places: list[_Place], one: int, other: int) -> float:
    return (places[one].size.across + places[other].size.across) / 2 + GAP_ACROSS


def _rising(wished: list[float]) -> list[float]:
    """The nearest sequence that never falls: isotonic regression by pooling neighbours."""
    blocks: list[tuple[float, int]] = []
    for value in wished:
        blocks.append((value, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, n), (b, m) = blocks[-2:]
            blocks[-2:] = [((a * n + b * m) / (n + m), n + m)]
    return [mean for mean, count in blocks for _ in range(count)]


def _along(
    graph: Graph, places: list[_Place], rows: list[list[int]], labels: Sequence[Size]
) -> list[float]:
    """The centre of each layer: room for its widest place, and between layers for labels."""
    thick = [max((places[n].size.along for n in row), default=0.0) for row in rows]
    leaving, arriving = [0.0] * len(rows), [0.0] * len(rows)
    for number, edge in enumerate(graph.edges):
        where, length = _where(graph, number), labels[number].along
        if where == "source":
            layer = places[edge.source].layer
            leaving[layer] = max(leaving[layer], length)
        elif where == "target":
            layer = places[edge.target].layer
            arriving[layer] = max(arriving[layer], length)
    centres = []
    position = 0.0
    for layer in range(len(rows)):
        position += arriving[layer] + thick[layer] / 2
        centres.append(position)
        position += thick[layer] / 2 + leaving[layer] + CURVE
    return centres


def _finish(
    graph: Graph,
    places: list[_Place],
    stations: list[list[int]],
    along: list[float],
    labels: Sequence[Size],
) -> Layout:
    first = min(place.across - place.size.across / 2 for place in places)
    for place in places:
        place.across -= first
    paths, spots = [], []
    for number, chain in enumerate(stations):
        where, length = _where(graph, number), labels[number].along
        source, target = places[chain[0]], places[chain[-1]]
        start = along[source.layer] + source.size.along / 2
        end = along[target.layer] - target.size.along / 2
        points = [(start, source.across)]
        if where == "source":
            points.append((start + length, source.across))
            spots.append((start + length / 2, source.across))
        for station in (places[n] for n in chain[1:-1]):
            half = station.size.along / 2
            points.append((along[station.layer] - half, station.across))
            points.append((along[station.layer] + half, station.across))
        if where == "between":
            spots.append((along[places[chain[1]].layer], places[chain[1]].across))
        elif where == "target":
            points.append((end - length, target.across))
            spots.append((end - length / 2, target.across))
        points.append((end, target.across))
        paths.append(tuple(points))
    extent_along = max(along[p.layer] + p.size.along / 2 for p in places)
    extent_across = max(p.across + p.size.across / 2 for p in places)
    nodes = tuple((along[p.layer], p.across) for p in places[: len(graph.nodes)])
    return Layout(nodes, tuple(paths), tuple(spots), (extent_along, extent_across))
