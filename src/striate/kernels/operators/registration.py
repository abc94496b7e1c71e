"""How an operator is made known to torch: signature, computation, shapes, gradients, vmap."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["define", "register"]

_LIBRARY: Any = torch.library.Library("striate", "FRAGMENT")  # type: ignore[no-untyped-call]


def define(signature: str) -> None:
    """Declare `torch.ops.striate.NAME` by its signature."""
    _LIBRARY.define(signature)


def register(
    name: str,
    run: Callable[..., Any],
    fake: Callable[..., Any],
    gradients: Callable[..., Any],
    save: Callable[..., None],
    *,
    float32: bool = False,
    elementwise: bool = True,
) -> None:
    """Give a declared operator all that torch asks of one.

    Args:
        name: without the namespace.
        run: computes it, on any device.
        fake: gives empty results of the right shapes.
        gradients: of the inputs, from the saved context and the gradients of the outputs.
        save: fills the context.
        float32: compute so under autocast: the kernels know nothing narrower.
        elementwise: under vmap, one call for each element.
    """
    full = f"striate::{name}"
    _LIBRARY.impl(name, run, "CompositeExplicitAutograd")
    torch.library.register_fake(full, fake, lib=_LIBRARY)
    torch.library.register_autograd(full, gradients, setup_context=save, lib=_LIBRARY)
    if elementwise:
        operator = getattr(torch.ops.striate, name)
        torch.library.register_vmap(full, _one_by_one(operator), lib=_LIBRARY)
    if float32:
        torch.library.register_autocast(full, "cpu", torch.float32, lib=_LIBRARY)


def _one_by_one(operator: Any) -> Any:
    """A vmap rule: one call for each element, as torch does for operators without a rule."""

    def rule(info: Any, in_dims: Sequence[Any], *arguments: Any) -> tuple[Any, Any]:
        results = [
            operator(
                *(
                    argument.select(dim, i) if isinstance(dim, int) else argument
                    for argument, dim in zip(arguments, in_dims, strict=True)
                )
            )
            for i in range(info.batch_size)
        ]
        if isinstance(results[0], Tensor):
            return torch.stack(results), 0
        return tuple(map(torch.stack, zip(*results, strict=True))), (0,) * len(results[0])

    return rule
