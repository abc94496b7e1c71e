"""A computational graph as text: one line for each edge, values and gradients in columns."""

from torch import Tensor

from striate.calculus.graph_data import Graph
from striate.calculus.graph_label import number_text

__all__ = ["PATTERNS", "graph_text", "tensor_text"]

PATTERNS = {
    "add": "add distributes: every input gets the gradient as it comes",
    "max": "max routes: the largest input gets the gradient, the others get zero",
    "multiply": "multiply switches: each input gets the gradient times the other input",
}


def tensor_text(tensor: Tensor | None, limit: int = 3) -> str:
    """A tensor in one short phrase: its numbers when they are few, else shape and norm.

    Example:
        >>> import torch
        >>> tensor_text(torch.tensor([1.5, -2.0])), tensor_text(torch.ones(3, 3))
        ('[1.5, −2]', '3×3 ‖3‖')
    """
    if tensor is None:
        return "none"
    if tensor.numel() == 1:
        return number_text(float(tensor))
    if tensor.ndim == 1 and tensor.numel() <= limit:
        return "[" + ", ".join(number_text(float(item)) for item in tensor) + "]"
    shape = "×".join(map(str, tensor.shape))
    return f"{shape} ‖{number_text(float(tensor.double().norm()))}‖"


def graph_text(graph: Graph) -> str:
    """The graph as a table: each use of each value, with its value and gradient.

    A tensor of more than a few numbers is told by shape and norm: "8×4 ‖2.31‖".

    Example:
        >>> import torch
        >>> from striate.calculus.graph import graph
        >>> print(graph_text(graph(lambda x: x * x, {"x": torch.tensor(3.0)})))
        use               value  gradient
        x → ×                 3         3
        x → ×                 3         3
        × → output            9         1
        <BLANKLINE>
        gradient of x: 6
        multiply switches: each input gets the gradient times the other input
    """
    names = _unique_names(graph)
    rows = [("use", "value", "gradient")]
    for edge in graph.edges:
        source = names[edge.source] + (f".{edge.output}" if edge.output else "")
        use = f"{source} → {names[edge.target]}"
        rows.append((use, tensor_text(edge.value), tensor_text(edge.gradient)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    widths[0] = max(widths[0], 16)
    lines = [
        f"{use.ljust(widths[0])}  {value.rjust(widths[1])}  {gradient.rjust(widths[2])}"
        for use, value, gradient in rows
    ]
    lines.append("")
    for node in graph.nodes:
        if node.kind in ("input", "parameter"):
            lines.append(f"gradient of {names[node.id]}: {tensor_text(graph.gradient(node))}")
        elif node.kind == "module" and node.num_parameters:
            norm = "none" if node.parameter_norm is None else number_text(node.parameter_norm)
            lines.append(f"{names[node.id]}: {node.num_parameters:,} parameters, gradient ‖{norm}‖")
    seen = {node.pattern for node in graph.nodes}
    lines += [sentence for pattern, sentence in PATTERNS.items() if pattern in seen]
    return "\n".join(lines)


def _unique_names(graph: Graph) -> list[str]:
    """A name for each node; operations of the same label are numbered from the second on."""
    count: dict[str, int] = {}
    names = []
    for node in graph.nodes:
        count[node.label] = count.get(node.label, 0) + 1
        number = count[node.label]
        names.append(node.label if number == 1 else f"{node.label} ({number})")
    return names
