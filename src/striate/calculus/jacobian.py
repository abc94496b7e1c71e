"""Jacobians of vec f by vec x, written out, and backward layers: the pair f and f^BP.

A layer y = f(x) has a backward layer f^BP(p; x) = Jᵀp, which makes the gradient by x out of a
gradient p by y. Backpropagation never forms J; for small f it can be shown.
"""

from collections.abc import Callable
from functools import partial
from importlib.resources import files

import torch
from jaxtyping import Float
from torch import Tensor

from striate.calculus.graph_label import number_text
from striate.drawing.svg import element, number, picture, text
from striate.errors import ConfigError

Layer = Callable[[Tensor], Tensor]
BackwardLayer = Callable[[Tensor, Tensor], Tensor]
"""f^BP: takes p (the shape of f(x)) and x, gives Jᵀp (the shape of x)."""

LARGEST = 4_000_000
"""Elements of a Jacobian in memory: 32 MB in float64."""


def jacobian(function: Layer, x: Float[Tensor, "..."]) -> Float[Tensor, "M N"]:
    """The matrix ∂ vec f / ∂ vec x; vec is row-major, so element (i, j) is ∂f_i / ∂x_j.

    Each row is one backward pass.

    Args:
        function: Function of x to one tensor; a module in evaluation mode, say.
        x: Point of any shape with N elements.

    Raises:
        ConfigError: a Jacobian of more than 4 million elements.

    Example:
        >>> jacobian(lambda x: x**2, torch.tensor([1.0, 3.0]))
        tensor([[2., 0.],
                [0., 6.]])
    """
    point = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        result = function(point.clone())
    size = result.numel() * point.numel()
    if size > LARGEST:
        raise ConfigError(
            f"The Jacobian has {result.numel()} × {point.numel()} elements; at most {LARGEST:,} "
            "are written out. Take a smaller input, or backward_layer, which never forms it."
        )
    if not result.requires_grad or not size:
        return torch.zeros(result.numel(), point.numel(), dtype=x.dtype, device=x.device)
    differentiate = partial(
        torch.autograd.grad, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    rows = [differentiate(y, point)[0] for y in result.reshape(-1)]
    return torch.stack(rows).reshape(result.numel(), point.numel())


def backward_layer(function: Layer) -> BackwardLayer:
    """The backward layer f^BP of a layer f: p, x ↦ Jᵀp.

    Example:
        >>> square_bp = backward_layer(lambda x: x**2)
        >>> square_bp(torch.tensor([1.0, 10.0]), torch.tensor([1.0, 3.0]))
        tensor([ 2., 60.])
    """

    def f_bp(p: Tensor, x: Tensor) -> Tensor:
        point = x.detach().clone().requires_grad_()
        with torch.enable_grad():
            result = function(point.clone())
        if p.shape != result.shape:
            raise ConfigError(
                f"p has shape {tuple(p.shape)}; it must have that of f(x), {tuple(result.shape)}."
            )
        if not result.requires_grad:
            return torch.zeros_like(x)
        return torch.autograd.grad(result, point, p, allow_unused=True, materialize_grads=True)[0]

    return f_bp


def jacobian_svg(matrix: Float[Tensor, "M N"], *, title: str = "Jacobian") -> str:
    """A matrix as the text of an SVG file: a field for each element, its number in it.

    Blue is negative, orange positive, and what is exactly zero stays blank: the pattern of
    zeros is what tells layers apart. Numbers are written up to 24 columns.

    Args:
        matrix: Matrix of at most 200 × 200.
        title: Title above the matrix.

    Raises:
        ConfigError: a larger matrix.

    Example:
        >>> jacobian_svg(torch.tensor([[2.0, 0.0], [0.0, 6.0]])).count("<rect")
        3
    """
    rows, columns = matrix.shape
    if max(rows, columns) > 200:
        raise ConfigError(f"The matrix is {rows} × {columns}; at most 200 × 200 can be drawn.")
    numbered = columns <= 24 and rows <= 60
    wide, high = (66.0, 30.0) if numbered else (max(4.0, 640.0 / columns),) * 2
    left, top = 52.0, 64.0
    largest = float(matrix.abs().max()) or 1.0
    right, bottom = left + columns * wide, top + rows * high
    turned = f"translate(34 {number(top)}) rotate(90)"
    body = [
        text(title, left, 26, class_="title"),
        text(f"vec x: {columns} →", left, 50, class_="axis"),
        element("text", f"vec f: {rows} →", class_="axis", transform=turned),
    ]
    for i, row in enumerate(matrix.tolist()):
        for j, value in enumerate(row):
            if value == 0:
                continue
            x, y, share = left + j * wide, top + i * high, abs(value) / largest
            field = {"x": x, "y": y, "width": wide, "height": high}
            sign = "plus" if value > 0 else "minus"
            body.append(element("rect", class_=sign, **field, fill_opacity=0.12 + 0.78 * share))
            if numbered:
                written = number_text(float(f"{value:.3g}"))
                kind = "n strong" if share > 0.6 else "n"
                body.append(text(written, x + wide / 2, y + high / 2 + 4, class_=kind))
    frame = f"M{left + 8:g} {top:g}h-8V{number(bottom)}h8"
    frame += f"M{number(right - 8)} {top:g}h8V{number(bottom)}h-8"
    body.append(element("path", class_="frame", d=frame))
    body.append(text("blank: exactly zero", left, bottom + 26, class_="axis"))
    return picture(body, width=right + 28, height=bottom + 40, title=title, style=_STYLE, name="sj")


_STYLE = "\n" + files("striate.calculus").joinpath("jacobian.css").read_text(encoding="utf-8")
