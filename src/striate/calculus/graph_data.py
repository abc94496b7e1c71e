"""The computational graph as data: nodes, and edges that carry a value and its gradient."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Edge", "Graph", "Kind", "Node", "Pattern"]

Kind = Literal["input", "parameter", "constant", "operation", "module", "output"]
Pattern = Literal["add", "max", "multiply", ""]


@dataclass(frozen=True)
class Node:
    """An input, a parameter, a constant, an operation, a folded module or an output."""

    id: int
    """Position in `Graph.nodes`, which is the order of computation."""
    kind: Kind
    label: str
    scope: tuple[str, ...] = ()
    """The modules that were running, outermost first: ("layer1", "layer1.0"). A module that
    runs again has its call number: "layer1#2"."""
    pattern: Pattern = ""
    """How it passes gradients on: "add" distributes, "max" routes, "multiply" switches."""
    num_parameters: int = 0
    """Of a folded module: the elements of its parameters."""
    parameter_norm: float | None = None
    """Of a folded module: the norm of the gradient of all its parameters."""


@dataclass(frozen=True)
class Edge:
    """One use of one value by one operation."""

    source: int
    """Id of the node that made the value."""
    target: int
    """Id of the node that uses it."""
    slot: int
    """Position among the values that the target uses."""
    output: int
    """Which of the source's results it is; 0 unless it has several."""
    value: Tensor
    """The forward value as it was at this use."""
    gradient: Tensor | None
    """What flows back through this use; None where nothing does."""


@dataclass(frozen=True)
class Graph:
    """A computational graph; both tuples have a stable order."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    classes: Mapping[str, str] = field(default_factory=dict)
    """The class of each module that ran, by its name in `Node.scope`."""

    def named(self, label: str) -> Node:
        """The first node with this label.

        Raises:
            KeyError: there is none.
        """
        for node in self.nodes:
            if node.label == label:
                return node
        raise KeyError(label)

    def into(self, node: Node) -> tuple[Edge, ...]:
        """The edges that end at a node, by slot."""
        return tuple(edge for edge in self.edges if edge.target == node.id)

    def out_of(self, node: Node) -> tuple[Edge, ...]:
        """The edges that leave a node, in the order of their use."""
        return tuple(edge for edge in self.edges if edge.source == node.id)

    def gradient(self, node: Node, output: int = 0) -> Tensor | None:
        """The gradient of a node's value: the sum over all its uses; None where nothing flows."""
        parts = [
            edge.gradient
            for edge in self.out_of(node)
            if edge.output == output and edge.gradient is not None
        ]
        return torch.stack(parts).sum(0) if parts else None

    def value(self, node: Node) -> Tensor:
        """The forward value of a node: what its first edge carries."""
        edges = self.out_of(node) or self.into(node)
        return edges[0].value

    def __str__(self) -> str:
        from striate.calculus.graph_text import graph_text

        return graph_text(self)
