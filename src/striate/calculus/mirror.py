"""The reversed network as the mirror image of the forward one.

Above, the network runs from left to right; below, each layer f has its backward layer f^BP, and
gradients run from right to left through the same shapes. (A long network runs down on the left,
and its mirror image up on the right.) The dotted lines are what a backward
layer needs from its forward layer: the input x at which J is taken.
"""

from xml.sax.saxutils import escape

from torch import Tensor, nn

from striate.calculus.graph import graph
from striate.calculus.graph_data import Node
from striate.calculus.graph_layout import Size, lay_out
from striate.calculus.graph_svg import (
    MARGIN,
    NAME,
    NUMBER,
    STYLE,
    Direction,
    arrow,
    curve,
    short,
    text_at,
)

__all__ = ["mirror_svg"]

BETWEEN = 74.0
"""Room between the two halves, pixels."""

LONGEST_ROW = 9
"""Nodes; more of them do not fit side by side on a page."""


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
    direction: Direction = "right" if len(found.nodes) <= LONGEST_ROW else "down"
    shapes = [_shape(edge.value) for edge in found.edges]
    sizes = [_turned(*_box(node), direction) for node in found.nodes]
    room = [_label_room(NUMBER * len(shape), direction) for shape in shapes]
    layout = lay_out(found, sizes, room)
    long, high = layout.extent
    far = 2 * high + BETWEEN
    drawn = []
    for node, size, (x, y) in zip(found.nodes, sizes, layout.nodes, strict=True):
        if node.kind in ("operation", "module"):
            ends = ((x, y + size.across / 2), (x, far - y - size.across / 2))
            drawn.append(f'<path class="needs" d="{_straight(ends, direction)}"/>')
    for shape, path, (x, y) in zip(shapes, layout.paths, layout.labels, strict=True):
        back = tuple((a, far - b) for a, b in reversed(path))
        drawn.append(f'<path class="edge" d="{curve(path, direction)}"/>')
        drawn.append(arrow(path[-1], direction))
        drawn.append(f'<path class="edge back" d="{curve(back, direction)}"/>')
        drawn.append(_arrow_back(back[-1], direction))
        if direction == "right":
            drawn.append(text_at("number value", x, y - 7, shape))
            drawn.append(text_at("number gradient", x, far - y + 16, shape))
        else:
            drawn.append(text_at("number value left", y - 9, x + 4, shape))
            drawn.append(text_at("number gradient right", far - y + 9, x + 4, shape))
    for node, (along, across) in zip(found.nodes, layout.nodes, strict=True):
        drawn += _half(node, *_at(along, across, direction), node.label)
        drawn += _half(node, *_at(along, far - across, direction), _backward_name(node))
    legend = [
        "green: shapes on the way forward, x ↦ f(x)",
        "red: the same shapes on the way back, p ↦ fᴮᴾ(p; x) = Jᵀp",
        "dotted: the x that fᴮᴾ needs",
    ]
    wide, tall = (long, far) if direction == "right" else (far, long)
    width = max(wide, 7.0 * max(map(len, legend))) + 2 * MARGIN
    height = tall + 2 * MARGIN + 20 * len(legend)
    shift = (width - wide) / 2
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
            *(
                text_at("legend", MARGIN, tall + 2 * MARGIN + 8 + 20 * line, text)
                for line, text in enumerate(legend)
            ),
            "</svg>",
            "",
        ]
    )


def _half(node: Node, x: float, y: float, label: str) -> list[str]:
    width, height = _box(node)
    corner = 9.0 if node.kind == "module" else height / 2
    kind = node.kind if node.kind != "operation" else node.pattern
    ink = " on-output" if node.kind == "output" else ""
    return [
        f'<rect class="node {kind}" x="{short(x - width / 2)}" '
        f'y="{short(y - height / 2)}" width="{short(width)}" height="{short(height)}" '
        f'rx="{short(corner)}"/>',
        text_at(f"name{ink}", x, y, escape(label)),
    ]


def _box(node: Node) -> tuple[float, float]:
    """Room for the backward name too, which is a little longer."""
    return NAME * len(node.label) + 46.0, 38.0


def _backward_name(node: Node) -> str:
    if node.kind == "input":
        return f"∂L/∂{node.label}"
    if node.kind == "output":
        return "∂L/∂" + ("y" if node.label == "output" else node.label)
    return f"{node.label}ᴮᴾ"


def _arrow_back(tip: tuple[float, float], direction: Direction) -> str:
    along, across = tip
    corners = [(along, across), (along + 8, across - 4), (along + 8, across + 4)]
    points = " ".join(f"{short(x)} {short(y)}" for x, y in (_at(*c, direction) for c in corners))
    return f'<polygon class="arrow" points="{points}"/>'


def _at(along: float, across: float, direction: Direction) -> tuple[float, float]:
    return (along, across) if direction == "right" else (across, along)


def _straight(ends: tuple[tuple[float, float], tuple[float, float]], direction: Direction) -> str:
    (a, b), (c, d) = (_at(*end, direction) for end in ends)
    return f"M{short(a)} {short(b)}L{short(c)} {short(d)}"


def _turned(width: float, height: float, direction: Direction) -> Size:
    return Size(width, height) if direction == "right" else Size(height, width)


def _label_room(length: float, direction: Direction) -> Size:
    return Size(length + 16, 30.0) if direction == "right" else Size(24.0, 2 * length + 24)


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "1"


_STYLE = """
.sg .needs{fill:none;stroke:var(--edge);stroke-width:1.2;stroke-dasharray:2 5}
.sg .edge.back{stroke:var(--gradient);stroke-opacity:.55}
"""
