"""A computational graph as a self-contained SVG, light or dark as the reader's screen is.

As in introductory courses: nodes are operations, the forward value stands above each edge in
green and the gradient below it in red (left and right of it where the graph runs downward).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from markupsafe import Markup

from striate.calculus.graph_data import Graph, Node
from striate.calculus.graph_label import PATTERNS, number_text, tensor_text
from striate.calculus.graph_layout import Point, Size, lay_out
from striate.drawing.svg import element, number, picture, text

Direction = Literal["right", "down"]

MARGIN = 28.0
NAME, NUMBER = 8.2, 7.3
"""Width of a character of a name (13 px) and of a number (12 px monospace), pixels."""
LINE = 34.0
"""Height of a value above and a gradient below a line."""

STYLE = "\n" + files("striate.calculus").joinpath("graph.css").read_text(encoding="utf-8")


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
