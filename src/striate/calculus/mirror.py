"""The reversed network as the mirror image of the forward one.

Above, the network runs from left to right; below, each layer f has its backward layer f^BP, and
gradients run from right to left through the same shapes. The dotted lines are what a backward
layer needs from its forward layer: the input x at which J is taken.
"""

from xml.sax.saxutils import escape

from torch import Tensor, nn

from striate.calculus.graph import graph
from striate.calculus.graph_data import Graph, Node
from striate.calculus.graph_layout import Size, lay_out
from striate.calculus.graph_svg import (
    MARGIN,
    NAME,
    NUMBER,
    STYLE,
    arrow,
    curve,
    short,
    text_at,
)

__all__ = ["mirror_svg"]

BETWEEN = 74.0
"""Room between the two halves, pixels."""


def mirror_svg(network: nn.Module, inputs: Tensor, *, depth: int = 1) -> str:
    """The forward network and its mirror image, the backward network, as the text of an SVG file.

    Args:
        network: any module; it runs once, forward and backward.
        inputs: a batch, (B, C, *S).
        depth: how deep modules are shown, as in `graph`.

    Example:
        >>> import torch
        >>> svg = mirror_svg(nn.Sequential(nn.Linear(3, 4), nn.Tanh()), torch.randn(2, 3))
        >>> "0: Linear" in svg and "2×4" in svg
        True
    """
    found = graph(network, inputs, depth=depth)
    shapes = [_shape(edge.value) for edge in found.edges]
    sizes = [Size(_box(node)[0], _box(node)[1]) for node in found.nodes]
    layout = lay_out(found, sizes, [Size(NUMBER * len(shape) + 16, 30.0) for shape in shapes])
    long, high = layout.extent
    bottom = 2 * high + BETWEEN
    drawn = []
    for node, (x, y) in zip(found.nodes, layout.nodes, strict=True):
        if node.kind in ("operation", "module"):
            start, end = y + _box(node)[1] / 2, bottom - y - _box(node)[1] / 2
            drawn.append(f'<path class="needs" d="M{short(x)} {short(start)}V{short(end)}"/>')
    for shape, path, (x, y) in zip(shapes, layout.paths, layout.labels, strict=True):
        back = tuple((a, bottom - b) for a, b in reversed(path))
        drawn.append(f'<path class="edge" d="{curve(path, "right")}"/>')
        drawn.append(arrow(path[-1], "right"))
        drawn.append(f'<path class="edge back" d="{curve(back, "right")}"/>')
        drawn.append(_arrow_left(back[-1]))
        drawn.append(text_at("number value", x, y - 7, shape))
        drawn.append(text_at("number gradient", x, bottom - y + 16, shape))
    for node, (x, y) in zip(found.nodes, layout.nodes, strict=True):
        drawn += _half(node, x, y, node.label, "")
        drawn += _half(node, x, bottom - y, _backward_name(node, found), "back")
    legend = (
        "above: forward, x ↦ f(x), shapes in green · below: backward, p ↦ fᴮᴾ(p; x) = Jᵀp, "
        "the same shapes · dotted: the x that fᴮᴾ needs"
    )
    width = max(long, 6.6 * len(legend)) + 2 * MARGIN
    height = bottom + 2 * MARGIN + 24
    shift = (width - long) / 2
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="sg" role="img" '
            f'viewBox="0 0 {short(width)} {short(height)}" width="{short(width)}" '
            f'height="{short(height)}">',
            "<title>A network and its mirror image</title>",
            f"<style>{STYLE}{_STYLE}</style>",
            f'<rect class="ground" width="{short(width)}" height="{short(height)}"/>',
            f'<g transform="translate({short(shift)} {short(MARGIN)})">',
            *drawn,
            "</g>",
            text_at("legend", MARGIN, height - 16, legend),
            "</svg>",
            "",
        ]
    )


def _half(node: Node, x: float, y: float, label: str, side: str) -> list[str]:
    width, height = _box(node)
    corner = 9.0 if node.kind == "module" else height / 2
    kind = node.kind if node.kind != "operation" else node.pattern
    ink = " on-output" if node.kind == "output" else ""
    return [
        f'<rect class="node {kind} {side}" x="{short(x - width / 2)}" '
        f'y="{short(y - height / 2)}" width="{short(width)}" height="{short(height)}" '
        f'rx="{short(corner)}"/>',
        text_at(f"name{ink}", x, y, escape(label)),
    ]


def _box(node: Node) -> tuple[float, float]:
    """Room for the backward name too, which is a little longer."""
    return NAME * len(node.label) + 46.0, 38.0


def _backward_name(node: Node, found: Graph) -> str:
    if node.kind == "input":
        return f"∂L/∂{node.label}"
    if node.kind == "output":
        return "∂L/∂" + ("y" if node.label == "output" else node.label)
    return f"{node.label}ᴮᴾ"


def _arrow_left(tip: tuple[float, float]) -> str:
    x, y = tip
    points = [(x, y), (x + 8, y - 4), (x + 8, y + 4)]
    return (
        '<polygon class="arrow" points="'
        + " ".join(f"{short(a)} {short(b)}" for a, b in points)
        + '"/>'
    )


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "1"


_STYLE = """
.sg .needs{fill:none;stroke:var(--edge);stroke-width:1.2;stroke-dasharray:2 5}
.sg .edge.back{stroke:var(--gradient);stroke-opacity:.55}
"""
