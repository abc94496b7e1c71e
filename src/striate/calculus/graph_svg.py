"""A computational graph as a self-contained SVG, light or dark as the reader's screen is.

As in introductory courses: nodes are operations, the forward value stands above each edge in
green and the gradient below it in red (left and right of it where the graph runs downward).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from striate.calculus.graph_data import Graph, Node
from striate.calculus.graph_label import PATTERNS, number_text, tensor_text
from striate.calculus.graph_layout import Point, Size, lay_out
from striate.drawing.svg import element, number, picture, text

__all__ = ["Direction", "Pen", "graph_page", "graph_svg"]

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
.sg .needs{fill:none;stroke:var(--edge);stroke-width:1.2;stroke-dasharray:2 5}
.sg .edge.back{stroke:var(--gradient);stroke-opacity:.55}
"""


def graph_svg(
    graph: Graph, *, direction: Direction | None = None, title: str = "Computational graph"
) -> str:
    """A graph as the text of an SVG file.

    Args:
        graph: Graph from `calculus.graph`.
        direction: "right" or "down"; by default folded networks and long graphs run down.
        title: Title of the picture, read by screen readers.

    Example:
        >>> import torch
        >>> from striate.calculus.graph import graph
        >>> svg = graph_svg(graph(lambda x: x * 3, {"x": torch.tensor(2.0)}))
        >>> svg.startswith("<svg") and "× 3" in svg
        True
    """
    folded = any(node.kind == "module" for node in graph.nodes)
    pen = Pen(direction or ("down" if folded or len(graph.nodes) > 24 else "right"))
    numbers = [(tensor_text(edge.value), tensor_text(edge.gradient)) for edge in graph.edges]
    boxes = [_box(node) for node in graph.nodes]
    layout = lay_out(
        graph, [pen.size(*box) for box in boxes], [pen.label_size(*pair) for pair in numbers]
    )
    body = [part for path in layout.paths for part in (pen.curve(path), pen.arrow(path[-1]))]
    for (value, gradient), spot in zip(numbers, layout.labels, strict=True):
        body += [pen.number("value", spot, value), pen.number("gradient", spot, gradient)]
    for node, box, spot in zip(graph.nodes, boxes, layout.nodes, strict=True):
        body += pen.node(node, spot, box, node.label, _more(node))
    return graph_page(body, pen.at(layout.extent), _legend(graph, pen.direction), title)


def graph_page(
    body: Sequence[Markup], extent: Point, legend: Sequence[tuple[str, str]], title: str
) -> str:
    """A drawn graph with its legend as the text of an SVG file.

    Args:
        body: Elements of the graph, from the lowest to the topmost.
        extent: Width and height of the graph, pixels.
        legend: Class of a sample ("" for none) and sentence, for each line.
        title: Title of the picture, read by screen readers.
    """
    wide, high = extent
    width = max(wide, 7.0 * max(len(sentence) for _, sentence in legend) + 30) + 2 * MARGIN
    # The graph is centred where the legend is wider than it.
    shift = f"translate({number((width - wide) / 2)} {number(MARGIN)})"
    parts = [element("g", Markup("\n").join(body), transform=shift)]
    for line, (kind, sentence) in enumerate(legend):
        y = high + 2 * MARGIN + 14 + 20 * line
        if kind in ("value", "gradient"):
            parts.append(text("1.2", MARGIN + 8, y + 4, class_=f"number {kind}"))
        elif kind:
            box = {"x": MARGIN, "y": y - 6, "width": 16, "height": 12, "rx": 6}
            parts.append(element("rect", class_=f"node {kind}", **box))
        parts.append(text(sentence, MARGIN + 28, y + 4, class_="legend"))
    height = high + 2 * MARGIN + 24 + 20 * len(legend)
    return picture(parts, width=width, height=height, title=title, style=STYLE, name="sg")


@dataclass(frozen=True)
class Pen:
    """Draws the parts of a graph whose computation runs to the right or down."""

    direction: Direction

    def at(self, point: Point) -> Point:
        """Horizontal and vertical position of a point (along, across)."""
        return point if self.direction == "right" else (point[1], point[0])

    def size(self, width: float, height: float) -> Size:
        """The room that a box takes along and across."""
        return Size(*self.at((width, height)))

    def label_size(self, *numbers: str) -> Size:
        """The room for a value and a gradient beside their edge."""
        longest = NUMBER * max(map(len, numbers))
        return Size(longest + 14, LINE) if self.direction == "right" else Size(24, 2 * longest + 24)

    def curve(self, path: Sequence[Point], kind: str = "edge") -> Markup:
        """A line through the points, curved where it changes its level."""
        parts = ["M" + self._pair(path[0])]
        for (a, b), (c, d) in itertools.pairwise(path):
            if b == d or kind == "needs":
                parts.append("L" + self._pair((c, d)))
            else:
                middle = (a + c) / 2
                parts.append("C" + " ".join(map(self._pair, [(middle, b), (middle, d), (c, d)])))
        return element("path", class_=kind, d="".join(parts))

    def arrow(self, tip: Point, length: float = 8.0) -> Markup:
        """The head of an arrow; a negative length points back."""
        along, across = tip
        corners = [tip, (along - length, across - 4), (along - length, across + 4)]
        return element("polygon", class_="arrow", points=" ".join(map(self._pair, corners)))

    def number(self, kind: Literal["value", "gradient"], spot: Point, content: str) -> Markup:
        """A value above (or left of) its edge, or a gradient below (or right of) it."""
        x, y = self.at(spot)
        value = kind == "value"
        if self.direction == "right":
            return text(content, x, y - 7 if value else y + 16, class_=f"number {kind}")
        side = "left" if value else "right"
        return text(content, x - 9 if value else x + 9, y + 4, class_=f"number {kind} {side}")

    def node(
        self, node: Node, spot: Point, box: tuple[float, float], label: str, more: str = ""
    ) -> list[Markup]:
        """The box of a node, its name, and a second line."""
        (x, y), (width, height) = self.at(spot), box
        corner = 9.0 if node.kind in ("module", "parameter", "constant") else height / 2
        outline = {
            "x": x - width / 2, "y": y - height / 2, "width": width, "height": height, "rx": corner
        }  # fmt: skip
        parts = [element("rect", class_=f"node {node.pattern or node.kind}", **outline)]
        kind = "name on-output" if node.kind == "output" else "name"
        parts.append(text(label, x, y - (8 if more else 0), class_=kind))
        return [*parts, text(more, x, y + 10, class_="more")] if more else parts

    def _pair(self, point: Point) -> str:
        return " ".join(map(number, self.at(point)))


def _box(node: Node) -> tuple[float, float]:
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


def _legend(graph: Graph, direction: Direction) -> list[tuple[str, str]]:
    """Class of the sample and sentence, for everything that the picture shows."""
    above, below = ("above", "below") if direction == "right" else ("left of", "right of")
    seen = {node.pattern for node in graph.nodes}
    lines = [
        ("value", f"forward value, {above} its edge"),
        ("gradient", f"gradient, {below} its edge"),
        *((pattern, sentence) for pattern, sentence in PATTERNS.items() if pattern in seen),
    ]
    if any(edge.value.numel() > 3 for edge in graph.edges):
        lines.append(("", "8×4 ‖2.5‖: a tensor by its shape and its norm"))
    return lines
