"""The reversed network as the mirror image of the forward one.

Above, the network runs from left to right; below, each layer f has its backward layer f^BP, and
gradients run from right to left through the same shapes. (A long network runs down on the left,
and its mirror image up on the right.) The dotted lines show what a
backward layer needs from its forward layer: the input x at which J is taken.
"""

from torch import Tensor, nn

from striate.calculus.graph import graph
from striate.calculus.graph_data import Node
from striate.calculus.graph_layout import lay_out
from striate.calculus.graph_svg import NAME, Pen, graph_page

BETWEEN = 74.0
"""Room between the two halves, pixels."""

LONGEST_ROW = 9
"""Nodes; more of them do not fit side by side on a page."""

LEGEND = (
    ("", "green: shapes on the way forward, x ↦ f(x)"),
    ("", "red: the same shapes on the way back, p ↦ fᴮᴾ(p; x) = Jᵀp"),
    ("", "dotted: the x that fᴮᴾ needs"),
)


def mirror_svg(network: nn.Module, inputs: Tensor, *, depth: int = 1) -> str:
    """The forward network and its mirror image, the backward network, as the text of an SVG file.

    Args:
        network: Module; it runs once, forward and backward.
        inputs: Batch, (B, C, *S).
        depth: How deep modules are unfolded, as in `graph`.

    Example:
        >>> import torch
        >>> svg = mirror_svg(nn.Sequential(nn.Linear(3, 4), nn.Tanh()), torch.randn(2, 3))
        >>> "0: Linear" in svg and "2×4" in svg
        True
    """
    forward = graph(network, inputs, depth=depth)
    pen = Pen("right" if len(forward.nodes) <= LONGEST_ROW else "down")
    # Room for the backward name too, which is a little longer.
    boxes = [(NAME * len(node.label) + 46.0, 38.0) for node in forward.nodes]
    sizes = [pen.size(*box) for box in boxes]
    shapes = ["×".join(map(str, edge.value.shape)) or "1" for edge in forward.edges]
    layout = lay_out(forward, sizes, [pen.label_size(shape) for shape in shapes])
    long, high = layout.extent
    far = 2 * high + BETWEEN
    body = []
    for node, size, (along, across) in zip(forward.nodes, sizes, layout.nodes, strict=True):
        if node.kind in ("operation", "module"):
            edge = across + size.across / 2
            body.append(pen.curve([(along, edge), (along, far - edge)], "needs"))
    for shape, path, (along, across) in zip(shapes, layout.paths, layout.labels, strict=True):
        back = [(a, far - b) for a, b in reversed(path)]
        body += [pen.curve(path), pen.arrow(path[-1])]
        body += [pen.curve(back, "edge back"), pen.arrow(back[-1], -8.0)]
        body.append(pen.number("value", (along, across), shape))
        body.append(pen.number("gradient", (along, far - across), shape))
    for node, box, (along, across) in zip(forward.nodes, boxes, layout.nodes, strict=True):
        body += pen.node(node, (along, across), box, node.label)
        body += pen.node(node, (along, far - across), box, _backward_name(node))
    return graph_page(body, pen.at((long, far)), LEGEND, "A network and its mirror image")


def _backward_name(node: Node) -> str:
    if node.kind == "input":
        return f"∂L/∂{node.label}"
    if node.kind == "output":
        return "∂L/∂" + ("y" if node.label == "output" else node.label)
    return f"{node.label}ᴮᴾ"
