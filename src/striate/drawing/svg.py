"""SVG written as text: elements with their attributes, and a whole picture for a file.

What comes in as text is escaped; `Markup` passes as it is.
"""

from collections.abc import Iterable

from markupsafe import Markup

FRACTION_DIGITS = 2
"""Digits behind the point, in pixels: finer than a screen shows."""


def number(value: float) -> str:
    """A number without needless zeros, rounded to hundredths of a pixel.

    Example:
        >>> number(12.0), number(0.305)
        ('12', '0.3')
    """
    return f"{value:.{FRACTION_DIGITS}f}".rstrip("0").rstrip(".")


def element(tag: str, content: str = "", /, **attributes: str | float) -> Markup:
    """One SVG element.

    Args:
        tag: Name of the element.
        content: Text, or elements as Markup.
        attributes: Attributes by name; "_" stands for "-", and `class_` for "class".

    Example:
        >>> print(element("path", class_="edge", d="M0 0H9", stroke_width=1.5))
        <path class="edge" d="M0 0H9" stroke-width="1.5"/>
        >>> print(element("text", "a < b", x=3))
        <text x="3">a &lt; b</text>
    """
    words = Markup("").join(
        Markup(' {}="{}"').format(
            name.rstrip("_").replace("_", "-"), value if isinstance(value, str) else number(value)
        )
        for name, value in attributes.items()
    )
    if not content:
        return Markup("<{}{}/>").format(tag, words)
    return Markup("<{0}{1}>{2}</{0}>").format(tag, words, content)


def text(content: str, x: float, y: float, **attributes: str | float) -> Markup:
    """A line of text; `x` and `y` place its baseline, in pixels."""
    return element("text", content, x=x, y=y, **attributes)


def picture(
    body: Iterable[str], *, width: float, height: float, title: str, style: str, name: str
) -> str:
    """A whole picture as the text of an SVG file, on a ground of class "ground".

    Args:
        body: Elements, from the lowest to the topmost.
        width: Width, pixels.
        height: Height, pixels.
        title: Title for screen readers.
        style: Style sheet; its rules begin with the class below.
        name: Class of the root element, so that several pictures fit into one page.

    Example:
        >>> svg = picture([], width=9, height=7, title="none", style="", name="sg")
        >>> svg.startswith("<svg")
        True
    """
    content = [
        element("title", title),
        element("style", Markup(style)),
        element("rect", class_="ground", width=width, height=height),
        *map(Markup, body),
    ]
    root = element(
        "svg",
        Markup("\n").join(content),
        xmlns="http://www.w3.org/2000/svg",
        class_=name,
        role="img",
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=width,
        height=height,
    )
    return f"{root}\n"
