"""Which module runs at the moment: what torch does is put down to the innermost one."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from torch import nn

__all__ = ["running_calls"]


@contextmanager
def running_calls(network: nn.Module) -> Iterator[list[tuple[str, int]]]:
    """The calls of modules that are running, the innermost one last, while the block runs.

    A call is the module's name and its number, from 0, in the block. Where no module runs the list
    holds the network's first call.

    Args:
        network: Twin or copy, which gets hooks until the end of the block.
    """
    running: list[tuple[str, int]] = [("", 0)]
    counts: Counter[str] = Counter()

    def enter(name: str, module: nn.Module, inputs: object) -> None:
        running.append((name, counts[name]))
        counts[name] += 1

    def leave(module: nn.Module, inputs: object, output: object) -> None:
        running.pop()

    with ExitStack() as stack:
        for name, module in network.named_modules():
            hook = module.register_forward_pre_hook(partial(enter, name), prepend=True)
            stack.enter_context(hook)
            stack.enter_context(module.register_forward_hook(leave))
        yield running
