"""Folds a graph by module: what runs inside one call of a module becomes one node."""

import dataclasses
import math
from collections.abc import Hashable

from torch import Tensor

from striate.calculus.graph_data import Edge, Graph, Node
from striate.errors import ConfigError


def fold(graph: Graph, depth: int) -> Graph:
    """The graph with everything inside modules nested `depth` deep folded into one node each.

    Each call of a module is a node of its own, so a module that is used twice appears twice.
    Parameters go into the node of the module that uses them, which then shows their number and
    the norm of their gradient. Several uses of one value inside one module become one edge whose
    gradient is their sum.

    Args:
        graph: Unfolded graph.
        depth: Depth of nesting; 1 shows the parts of the network, 2 the parts of the parts.

    Raises:
        ConfigError: a depth below 1.
    """
    if depth < 1:
        raise ConfigError(f"depth={depth} must be 1 or more; leave it out to show everything.")
    groups = _groups(graph, depth)
    members: dict[Hashable, list[Node]] = {}
    for node in graph.nodes:
        if groups[node.id] is not None:
            members.setdefault(groups[node.id], []).append(node)
    # A group stands where its last member stood: after all that it uses.
    order = sorted(members, key=lambda group: members[group][-1].id)
    number = {group: position for position, group in enumerate(order)}
    nodes = [
        _folded(graph, number[group], group, members[group], groups)
        if isinstance(group, tuple)
        else dataclasses.replace(members[group][0], id=number[group])
        for group in order
    ]
    return Graph(tuple(nodes), _edges(graph, groups, number), graph.classes)


def _groups(graph: Graph, depth: int) -> list[Hashable]:
    """For each node the group it goes to: a scope where it is folded, else its own id, or None."""
    outer = {node.scope[:k] for node in graph.nodes for k in range(len(node.scope))}
    groups: list[Hashable] = []
    for node in graph.nodes:
        scope = node.scope[:depth]
        inside = len(node.scope) >= depth or scope not in outer
        groups.append(scope if scope and inside and node.kind == "operation" else node.id)
    for node in graph.nodes:
        if node.kind in ("parameter", "constant"):
            users = {groups[edge.target] for edge in graph.out_of(node)}
            if all(isinstance(user, tuple) for user in users):
                # Several folded modules share it: each counts it as its own, none holds it.
                groups[node.id] = users.pop() if len(users) == 1 else None
    return groups


def _folded(
    graph: Graph, number: int, group: tuple[str, ...], members: list[Node], groups: list[Hashable]
) -> Node:
    name = group[-1]
    label = f"{name}: {graph.classes[name]}" if name in graph.classes else name
    inside = {node.id for node in members}
    parts: dict[int, Tensor] = {}
    sizes: dict[int, int] = {}
    for edge in graph.edges:
        if edge.target in inside and graph.nodes[edge.source].kind == "parameter":
            sizes[edge.source] = edge.value.numel()
            if edge.gradient is not None:
                before = parts.get(edge.source)
                parts[edge.source] = edge.gradient if before is None else before + edge.gradient
    norm = math.sqrt(sum(float(part.square().sum()) for part in parts.values()))
    size = sum(sizes.values())
    return Node(number, "module", label, group[:-1], "", size, norm if parts else None)


def _edges(graph: Graph, groups: list[Hashable], number: dict[Hashable, int]) -> tuple[Edge, ...]:
    merged: dict[tuple[Hashable, ...], Edge] = {}
    for edge in graph.edges:
        source, target = groups[edge.source], groups[edge.target]
        if source == target or source is None:
            continue
        # Into a module, uses of one value are one edge; into an operation each keeps its slot.
        slot = -1 if isinstance(target, tuple) else edge.slot
        key: tuple[Hashable, ...] = (edge.source, edge.output, target, slot)
        before = merged.get(key)
        gradient = edge.gradient
        if before is not None and before.gradient is not None:
            gradient = before.gradient if gradient is None else before.gradient + gradient
        merged[key] = dataclasses.replace(
            edge, source=number[source], target=number[target], gradient=gradient
        )
    edges: list[Edge] = []
    slots: dict[int, int] = {}
    outputs: dict[int, dict[tuple[Hashable, ...], int]] = {}
    for origin, edge in sorted(merged.items(), key=lambda item: (item[1].target, item[1].slot)):
        slot = slots[edge.target] = slots.get(edge.target, -1) + 1
        numbers = outputs.setdefault(edge.source, {})
        output = numbers.setdefault(origin[:2], len(numbers))
        edges.append(dataclasses.replace(edge, slot=slot, output=output))
    return tuple(edges)
