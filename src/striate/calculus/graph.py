"""The computational graph of any function of tensors, with value and gradient on every edge.

Nodes are inputs, parameters, constants, operations and outputs; an edge is one use of one
value by one operation. The gradient on an edge is what flows back through that use alone: where
a value is used twice, two edges leave it, and its gradient is the sum of both.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from striate.calculus.graph_data import Edge, Graph, Node
from striate.calculus.graph_fold import fold
from striate.calculus.graph_label import pattern_of
from striate.calculus.record import Key, Recorder
from striate.errors import ConfigError
from striate.optim.preserve import preserved


def graph(
    function: Callable[..., Any],
    inputs: Mapping[str, Tensor] | Sequence[Tensor] | Tensor,
    *,
    depth: int | None = None,
    network: nn.Module | None = None,
    seeds: Sequence[Tensor] | None = None,
) -> Graph:
    """The computational graph of a function, with forward value and gradient on every edge.

    The function runs once, forward and backward. Functional calls, in-place operations, reused
    modules, several outputs and custom autograd functions are all recorded; what does not lead
    to an output is left out. Nothing is left behind on modules or parameters.

    Args:
        function: Function of the inputs in their order to a tensor, or tensors in any nesting.
        inputs: Tensors by name, in order, or alone; without names they take the function's own.
        depth: Depth of nesting at which modules are folded into one node; None shows every
            operation.
        network: Module after which parts and parameters are named; the function itself when
            it is a module.
        seeds: Gradient that enters at each output; by default ones: the gradients then are
            those of the sum of all outputs.

    Raises:
        ConfigError: the function gives no tensor, `seeds` do not fit, or a depth below 1.

    Example:
        >>> x, y, z = (torch.tensor(value) for value in (-2.0, 5.0, -4.0))
        >>> product = graph(lambda x, y, z: (x + y) * z, {"x": x, "y": y, "z": z})
        >>> [product.gradient(product.named(name)).item() for name in ("x", "y", "z")]
        [-4.0, -4.0, 3.0]
    """
    if network is None and isinstance(function, nn.Module):
        network = function
    modules = {} if network is None else dict(network.named_modules())
    buffers = {} if network is None else dict(network.named_buffers())
    parameters = {} if network is None else dict(network.named_parameters())
    recorder = Recorder(
        {id(module): name for name, module in modules.items()},
        {id(tensor): name for name, tensor in (parameters | buffers).items()},
    )
    leaves, values = {}, {}
    for name, tensor in _named_inputs(function, inputs).items():
        leaf = tensor.detach().clone()
        if leaf.is_floating_point():
            leaves[name] = leaf.requires_grad_()
        # A copy, so that the function may work on its input in place.
        values[name] = leaf.clone()
        recorder.enter(values[name], "input", name)
    with preserved(network or nn.Module()), torch.enable_grad():
        with recorder.modules(network), recorder:
            result = function(*values.values())
        outputs = [item for item in tree_leaves(result) if isinstance(item, Tensor)]
        if not outputs:
            raise ConfigError("The function gives no tensor, so that it has no graph.")
        _backward(recorder, outputs, list(leaves.values()), seeds)
    whole = _assemble(recorder)
    return whole if depth is None else fold(whole, depth)


def _backward(
    recorder: Recorder, outputs: list[Tensor], leaves: list[Tensor], seeds: Sequence[Tensor] | None
) -> None:
    entering = [torch.ones_like(output) for output in outputs] if seeds is None else list(seeds)
    shapes = [tuple(seed.shape) for seed in entering]
    wanted = [tuple(output.shape) for output in outputs]
    if shapes != wanted:
        raise ConfigError(f"seeds have shapes {shapes}; the outputs have {wanted}.")
    for number, (output, seed) in enumerate(zip(outputs, entering, strict=True), start=1):
        recorder.leave(output, "output" if len(outputs) == 1 else f"output {number}", seed)
    pairs = [(o, s) for o, s in zip(outputs, entering, strict=True) if o.requires_grad]
    sources = leaves + recorder.leaves
    if pairs and sources:
        ends, start = zip(*pairs, strict=True)
        # Every leaf is named, so that every node runs; none of them keeps a gradient.
        torch.autograd.grad(ends, sources, start, allow_unused=True)


def _assemble(recorder: Recorder) -> Graph:
    """The recorded calls that lead to an output, numbered in the order of computation."""
    maker: dict[Key, Any] = recorder.maker
    # Inputs are kept in any case; nothing comes before them.
    needed = {id(recorded) for recorded in recorder.results if recorded.kind == "input"}
    stack = [recorded for recorded in recorder.results if recorded.kind == "output"]
    while stack:
        recorded = stack.pop()
        if id(recorded) not in needed:
            needed.add(id(recorded))
            stack += [maker[use.key] for use in recorded.uses]
    kept = [recorded for recorded in recorder.results if id(recorded) in needed]
    position = {id(recorded): number for number, recorded in enumerate(kept)}
    nodes, edges = [], []
    for number, recorded in enumerate(kept):
        pattern = pattern_of(recorded.name) if recorded.kind == "operation" else ""
        nodes.append(Node(number, recorded.kind, recorded.label, recorded.scope, pattern))
        for slot, use in enumerate(recorded.uses):
            source = maker[use.key]
            output = source.outputs.index(use.key)
            edges.append(Edge(position[id(source)], number, slot, output, use.value, use.gradient))
    return Graph(tuple(nodes), tuple(edges), dict(recorder.classes))


def _named_inputs(
    function: Callable[..., Any], inputs: Mapping[str, Tensor] | Sequence[Tensor] | Tensor
) -> dict[str, Tensor]:
    if isinstance(inputs, Mapping):
        return dict(inputs)
    tensors = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    called = function.forward if isinstance(function, nn.Module) else function
    try:
        names = list(inspect.signature(called).parameters)
    except (TypeError, ValueError):
        names = []
    plain = [f"input {number}" for number in range(1, len(tensors) + 1)]
    return dict(zip(names if len(names) >= len(tensors) else plain, tensors, strict=False))
