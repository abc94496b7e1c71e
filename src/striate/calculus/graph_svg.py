"""A computational graph as a self-contained SVG, light or dark as the reader's screen is.

As in introductory courses: nodes are operations, the forward value stands above each edge in
green and the gradient below it in red (left and right of it where the graph runs downward).
"""

import itertools
from typing import Literal
from xml.sax.saxutils import escape

from striate.calculus.graph_data import Graph, Node
from striate.calculus.graph_label import number_text
from striate.calculus.graph_layout import Layout, Size, lay_out
from striate.calculus.graph_text import PATTERNS, tensor_text

__all__ = [
    "MARGIN",
    "NAME",
    "NUMBER",
    "STYLE",
    "Direction",
    "arrow",
    "box",
    "curve",
    "graph_svg",
    "short",
    "text_at",
]

Direction = Literal["right", "down"]

MARGIN = 28.0
NAME, NUMBER = 8.2, 7.3
"""Width of a character of a name (13 px) and of a number (12 px monospace), pixels."""
LINE = 34.0
"""Height of a value above and a gradient below a line."""

STYLE = """
.sg{--ground:#fdfdfc;--ink:#1c2530;--faint:#6b7683;--edge:#9aa5b1;--value:#0b7a4b;
--gradient:#c2331f;--input:#e3edf9;--input-rim:#4b80bd;--plain:#fff;--rim:#5d6977;
--add:#dff0ec;--add-rim:#2f8f7d;--max:#fbeecb;--max-rim:#b98410;--multiply:#ece5f8;
--multiply-rim:#7a5cb8;--output:#1c2530;--output-ink:#fdfdfc}
@media (prefers-color-scheme:dark){.sg{--ground:#12161c;--ink:#e8ebef;--faint:#98a3b0;
--edge:#5a6675;--value:#5fd39b;--gradient:#ff8a73;--input:#1b2c42;--input-rim:#6d9fd8;
--plain:#1b222b;--rim:#8894a3;--add:#17332e;--add-rim:#5cbfab;--max:#3a2f12;--max-rim:#dcae4a;
--multiply:#2c2442;--multiply-rim:#ab92e3;--output:#e8ebef;--output-ink:#12161c}}
.sg text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;
fill:var(--ink)}
.sg .ground{fill:var(--ground)}
.sg .edge{fill:none;stroke:var(--edge);stroke-width:1.5}
.sg .arrow{fill:var(--edge)}
.sg .node{stroke-width:1.6;fill:var(--plain);stroke:var(--rim)}
.sg .input{fill:var(--input);stroke:var(--input-rim)}
.sg .parameter{stroke:var(--input-rim)}
.sg .constant{stroke-dasharray:4 3}
.sg .add{fill:var(--add);stroke:var(--add-rim)}
.sg .max{fill:var(--max);stroke:var(--max-rim)}
.sg .multiply{fill:var(--multiply);stroke:var(--multiply-rim)}
.sg .output{fill:var(--output);stroke:var(--output)}
.sg .name{text-anchor:middle;dominant-baseline:central;font-weight:600}
.sg .name.on-output{fill:var(--output-ink)}
.sg .more{text-anchor:middle;dominant-baseline:central;font-size:11px;fill:var(--faint)}
.sg .number{font:12px ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace;
text-anchor:middle;paint-order:stroke;stroke:var(--ground);stroke-width:4px;stroke-linejoin:round}
.sg .value{fill:var(--value)}
.sg .gradient{fill:var(--gradient)}
.sg .left{text-anchor:end}
.sg .right{text-anchor:start}
.sg .legend{fill:var(--faint);font-size:12px}
"""


def graph_svg(
    graph: Graph, *, direction: Direction | None = None, title: str = "Computational graph"
) -> str:
    """The graph as the text of an SVG file.

    Args:
        graph: from `calculus.graph`.
        direction: "right", or "down"; by default folded networks and long graphs run down.
        title: the picture's name, read by screen readers.

    Example:
        >>> import torch
        >>> from striate.calculus.graph import graph
        >>> svg = graph_svg(graph(lambda x: x * 3, {"x": torch.tensor(2.0)}))
        >>> svg.startswith("<svg") and "× 3" in svg
        True
    """
    folded = any(node.kind == "module" for node in graph.nodes)
    chosen = direction or ("down" if folded or len(graph.nodes) > 24 else "right")
    nodes = [_node_size(node, chosen) for node in graph.nodes]
    labels = [
        _label_size(tensor_text(edge.value), tensor_text(edge.gradient), chosen)
        for edge in graph.edges
    ]
    layout = lay_out(graph, nodes, labels)
    legend = _legend_lines(graph, chosen)
    along, across = layout.extent
    wide, high = (along, across) if chosen == "right" else (across, along)
    width = max(wide, 7.0 * max(len(text) for _, text in legend) + 30) + 2 * MARGIN
    # The picture is centred where the legend is wider than it.
    shift = (width - 2 * MARGIN - wide) / 2 if wide < width - 2 * MARGIN else 0.0
    height = high + 2 * MARGIN + 24 + 20 * len(legend)
    body = [
        f'<g transform="translate({short(MARGIN + shift)} {short(MARGIN)})">',
        *_edges(graph, layout, chosen),
        *_nodes(graph, layout, chosen),
        "</g>",
        *_legend(legend, high + 2 * MARGIN + 14),
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="sg" role="img" '
            f'viewBox="0 0 {short(width)} {short(height)}" width="{short(width)}" '
            f'height="{short(height)}">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="ground" width="{short(width)}" height="{short(height)}"/>',
            *body,
            "</svg>",
            "",
        ]
    )


def _edges(graph: Graph, layout: Layout, direction: Direction) -> list[str]:
    drawn, numbers = [], []
    for edge, path, spot in zip(graph.edges, layout.paths, layout.labels, strict=True):
        drawn.append(f'<path class="edge" d="{curve(path, direction)}"/>')
        drawn.append(arrow(path[-1], direction))
        x, y = _turn(spot, direction)
        value, gradient = escape(tensor_text(edge.value)), escape(tensor_text(edge.gradient))
        if direction == "right":
            numbers.append(text_at("number value", x, y - 7, value))
            numbers.append(text_at("number gradient", x, y + 16, gradient))
        else:
            numbers.append(text_at("number value left", x - 9, y + 4, value))
            numbers.append(text_at("number gradient right", x + 9, y + 4, gradient))
    return drawn + numbers


def _nodes(graph: Graph, layout: Layout, direction: Direction) -> list[str]:
    drawn = []
    for node, spot in zip(graph.nodes, layout.nodes, strict=True):
        x, y = _turn(spot, direction)
        width, height = box(node)
        kind = node.pattern or node.kind
        corner = 9.0 if node.kind in ("module", "parameter", "constant") else height / 2
        drawn.append(
            f'<rect class="node {kind}" x="{short(x - width / 2)}" y="{short(y - height / 2)}" '
            f'width="{short(width)}" height="{short(height)}" rx="{short(corner)}"/>'
        )
        more = _more(node)
        on_output = " on-output" if node.kind == "output" else ""
        drawn.append(text_at(f"name{on_output}", x, y - (8 if more else 0), escape(node.label)))
        if more:
            drawn.append(text_at("more", x, y + 10, escape(more)))
    return drawn


def box(node: Node) -> tuple[float, float]:
    """Width and height of a node's box."""
    more = _more(node)
    width = max(NAME * len(node.label) + 22, 6.2 * len(more) + 22 if more else 0.0, 38.0)
    return width, 46.0 if more else 38.0


def _more(node: Node) -> str:
    """The second line of a folded module: its parameters."""
    if node.kind != "module" or not node.num_parameters:
        return ""
    norm = "none" if node.parameter_norm is None else number_text(node.parameter_norm)
    return f"{node.num_parameters:,} parameters · gradient ‖{norm}‖"


def _node_size(node: Node, direction: Direction) -> Size:
    width, height = box(node)
    return Size(width, height) if direction == "right" else Size(height, width)


def _label_size(value: str, gradient: str, direction: Direction) -> Size:
    longest = NUMBER * max(len(value), len(gradient))
    if direction == "right":
        return Size(longest + 14, LINE)
    return Size(24.0, 2 * longest + 24)


def _turn(point: tuple[float, float], direction: Direction) -> tuple[float, float]:
    return point if direction == "right" else (point[1], point[0])


def curve(path: tuple[tuple[float, float], ...], direction: Direction) -> str:
    parts = ["M" + _pair(path[0], direction)]
    for (a, b), (c, d) in itertools.pairwise(path):
        if b == d:
            parts.append("L" + _pair((c, d), direction))
        else:
            middle = (a + c) / 2
            points = [(middle, b), (middle, d), (c, d)]
            parts.append("C" + " ".join(_pair(point, direction) for point in points))
    return "".join(parts)


def arrow(tip: tuple[float, float], direction: Direction) -> str:
    along, across = tip
    corners = [(along, across), (along - 8, across - 4), (along - 8, across + 4)]
    points = " ".join(_pair(corner, direction) for corner in corners)
    return f'<polygon class="arrow" points="{points}"/>'


def _legend_lines(graph: Graph, direction: Direction) -> list[tuple[str, str]]:
    """Class of the sample and sentence, for what the picture shows."""
    above, below = ("above", "below") if direction == "right" else ("left of", "right of")
    lines = [
        ("value", f"forward value, {above} its edge"),
        ("gradient", f"gradient, {below} its edge"),
    ]
    seen = {node.pattern for node in graph.nodes}
    lines += [(pattern, text) for pattern, text in PATTERNS.items() if pattern in seen]
    if any(edge.value.numel() > 3 for edge in graph.edges):
        lines.append(("", "8×4 ‖2.5‖: a tensor by its shape and its norm"))
    return lines


def _legend(lines: list[tuple[str, str]], top: float) -> list[str]:
    drawn = []
    for number, (kind, text) in enumerate(lines):
        y = top + 20 * number
        if kind in ("value", "gradient"):
            drawn.append(text_at(f"number {kind}", MARGIN + 8, y + 4, "1.2"))
        elif kind:
            drawn.append(
                f'<rect class="node {kind}" x="{short(MARGIN)}" y="{short(y - 6)}" width="16" '
                'height="12" rx="6"/>'
            )
        drawn.append(text_at("legend", MARGIN + 28, y + 4, escape(text)))
    return drawn


def text_at(kind: str, x: float, y: float, text: str) -> str:
    return f'<text class="{kind}" x="{short(x)}" y="{short(y)}">{text}</text>'


def _pair(point: tuple[float, float], direction: Direction) -> str:
    x, y = _turn(point, direction)
    return f"{short(x)} {short(y)}"


def short(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
