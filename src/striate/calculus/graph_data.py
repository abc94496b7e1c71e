"""The computational graph as data: nodes, and edges that carry a value and its gradient."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from striate.calculus.graph_label import PATTERNS, Pattern, number_text, tensor_text
from striate.drawing.table import text_table

Kind = Literal["input", "parameter", "constant", "operation", "module", "output"]


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
    """Pattern of its gradients, a key of `graph_label.PATTERNS`: "add", "max", "multiply" ..."""
    num_parameters: int = 0
    """Elements of a folded module's parameters."""
    parameter_norm: float | None = None
    """Norm of the gradient of all parameters of a folded module."""


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
    """The gradient that flows back through this use; None where none does."""


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
        return {node.label: node for node in reversed(self.nodes)}[label]

    def into(self, node: Node) -> tuple[Edge, ...]:
        """The edges that end at a node, by slot."""
        return tuple(edge for edge in self.edges if edge.target == node.id)

    def out_of(self, node: Node) -> tuple[Edge, ...]:
        """The edges that leave a node, in the order of their use."""
        return tuple(edge for edge in self.edges if edge.source == node.id)

    def gradient(self, node: Node, output: int = 0) -> Tensor | None:
        """The gradient of a node's value: the sum over all its uses; None where nothing flows."""
        uses = (edge for edge in self.out_of(node) if edge.output == output)
        parts = [edge.gradient for edge in uses if edge.gradient is not None]
        return torch.stack(parts).sum(0) if parts else None

    def value(self, node: Node) -> Tensor:
        """The forward value of a node, which its first edge carries."""
        return (self.out_of(node) or self.into(node))[0].value

    def __str__(self) -> str:
        """A table: each use of each value, with its value and gradient.

        A tensor of more than a few numbers is described by shape and norm: "8×4 ‖2.31‖".

        Example:
            >>> from striate.calculus.graph import graph
            >>> print(graph(lambda x: x * x, {"x": torch.tensor(3.0)}))
            use               value  gradient
            x → ×                 3         3
            x → ×                 3         3
            × → output            9         1
            <BLANKLINE>
            gradient of x: 6
            multiply switches: each input gets the gradient times the other input
        """
        names = _unique_names(self.nodes)
        rows = [("use".ljust(16), "value", "gradient")]
        for edge in self.edges:
            source = names[edge.source] + (f".{edge.output}" if edge.output else "")
            use = f"{source} → {names[edge.target]}"
            rows.append((use, tensor_text(edge.value), tensor_text(edge.gradient)))
        lines = [text_table(rows), ""]
        for node, name in zip(self.nodes, names, strict=True):
            if node.kind in ("input", "parameter"):
                lines.append(f"gradient of {name}: {tensor_text(self.gradient(node))}")
            elif node.kind == "module" and node.num_parameters:
                norm = "none" if node.parameter_norm is None else number_text(node.parameter_norm)
                lines.append(f"{name}: {node.num_parameters:,} parameters, gradient ‖{norm}‖")
        seen = {node.pattern for node in self.nodes}
        lines += [sentence for pattern, sentence in PATTERNS.items() if pattern in seen]
        return "\n".join(lines)


def _unique_names(nodes: Sequence[Node]) -> list[str]:
    """A name for each node; operations of the same label are numbered from the second on."""
    count = Counter[str]()
    names = []
    for node in nodes:
        count[node.label] += 1
        number = count[node.label]
        names.append(node.label if number == 1 else f"{node.label} ({number})")
    return names
