"""Time of the operators that are bound by memory, native against torch's own, side by side.

    python benchmarks/elementwise.py [FAMILY ...] [--repeats N] [--seconds]

Families: norm, answer (a convolution with its normalisation in one pass against two operators),
pool, dropout, batch, activation, update. Each pair runs interleaved on one thread; what counts is
the thread's own processor time, so that other work on the machine takes none of it (it still takes
cache and memory speed). `--seconds` measures wall time on all threads instead. For figures without
the cost of fresh pages, as a tuned training has them, set in the environment
MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from striate import kernels
from striate.data.augment import Augmenter
from striate.data.field import Category
from striate.data.loader import BatchLoader, Normalisation
from striate.data.part import ImageSet
from striate.kernels.operators import inference
from striate.kernels.operators.activation import ACTIVATIONS
from striate.registry import Pick

SHAPES = [(128, 64, 31, 31), (128, 128, 15, 15), (512, 256, 8, 8), (128, 24, 31, 31)]
RESNET = [(128, 16, 32, 32), (128, 32, 16, 16), (128, 64, 8, 8)]
Call = Callable[[], object]
clock = time.thread_time
repeats = 15
FLUSH = torch.zeros(2**24)


def race(what: str, theirs: Call, mine: Call, names: tuple[str, str] = ("torch", "native")) -> None:
    """Print the medians and the least times of two functions that take turns."""
    found: dict[Call, list[float]] = {theirs: [], mine: []}
    for function in found:
        function()
    for _ in range(repeats):
        for function, times in found.items():
            # As in a training, where much has passed through the caches since.
            FLUSH.add_(1)
            start = clock()
            function()
            times.append((clock() - start) * 1e3)
    (a, b), (c, d) = ((statistics.median(t), min(t)) for t in found.values())
    print(
        f"{what:44} {names[0]} {a:8.3f} ({b:8.3f})  {names[1]} {c:8.3f} ({d:8.3f}) ms"
        f"  x{a / c:5.2f} (x{b / d:5.2f})",
        flush=True,
    )


def image(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape).contiguous(memory_format=torch.channels_last)


def norm() -> None:
    for shape in [*SHAPES, *RESNET]:
        x, r = image(shape).requires_grad_(), image(shape).requires_grad_()
        w, b = torch.ones(shape[1]).requires_grad_(), torch.zeros(shape[1]).requires_grad_()
        m, v, grad = torch.zeros(shape[1]), torch.ones(shape[1]), image(shape)
        for activation, residual in (("relu", False), ("relu", True), ("gelu", False)):
            leaves = [x, w, b, *[r] * residual]

            def theirs(activation: str = activation, leaves: list = leaves) -> None:
                z = F.batch_norm(x, m, v, w, b, True)
                y = ACTIVATIONS[activation](z + r if len(leaves) > 3 else z)
                torch.autograd.grad(y, leaves, grad)

            def mine(activation: str = activation, leaves: list = leaves) -> None:
                other = r if len(leaves) > 3 else None
                y = kernels.norm_act(x, w, b, m, v, activation=activation, residual=other)
                torch.autograd.grad(y, leaves, grad)

            race(f"norm+{activation}{'+residual' * residual} {shape}", theirs, mine)


def answer() -> None:
    """What a network does that only answers: a convolution and its normalisation, one by one."""
    inference.MOST_ADDED = 2**62  # where the limit should lie is what is measured
    for shape in [*SHAPES, *RESNET]:
        channels = shape[1]
        x, kernel = image(shape), image((channels, channels, 3, 3))
        bn = torch.nn.BatchNorm2d(channels).eval()
        methods = kernels.default_methods(
            kernels.Geometry(shape, tuple(kernel.shape), (1, 1), (1, 1))
        )
        sizes = ((1, 1), (1, 1), (1, 1), 1, methods)
        for activation, other in (("relu", None), ("relu", image(shape)), ("gelu", None)):

            def two(how: tuple = (activation, other)) -> None:
                kernels.batch_norm_act(bn, kernels.convolution(x, kernel, None, *sizes), *how)

            def one(how: tuple = (activation, other)) -> None:
                y = kernels.convolution_norm_act(x, kernel, None, sizes, bn, *how)
                if y is None:
                    raise SystemExit(f"No native convolution: {kernels.why_not()}")

            added = "" if other is None else "+residual"
            with torch.no_grad():
                race(f"conv+norm+{activation}{added} {shape}", two, one, ("two", "one"))


def pool() -> None:
    for shape in [*SHAPES, *RESNET]:
        x = image(shape).requires_grad_()
        for window in ((2, 2, 0), (3, 2, 1)):
            grad = torch.ones_like(F.max_pool2d(x.detach(), *window))

            def theirs(window: tuple = window, grad: torch.Tensor = grad) -> None:
                torch.autograd.grad(F.max_pool2d(x, *window), x, grad)

            def mine(window: tuple = window, grad: torch.Tensor = grad) -> None:
                torch.autograd.grad(kernels.max_pool2d(x, *window), x, grad)

            race(f"max pool {window} {shape}", theirs, mine)


def dropout() -> None:
    for shape in ((128, 1024), (128, 4096), (128, 64, 15, 15)):
        x, grad = torch.randn(shape).requires_grad_(), torch.ones(shape)
        race(
            f"dropout {shape}",
            lambda: torch.autograd.grad(F.dropout(x, 0.5), x, grad),
            lambda: torch.autograd.grad(kernels.dropout(x, 0.5), x, grad),
        )


def batch() -> None:
    draw = np.random.default_rng(0)
    for num, size, B in ((20_000, 32, 512), (4_000, 64, 128), (300, 224, 32)):
        images = draw.integers(0, 256, (num, size, size, 3), dtype=np.uint8)
        fields = {"category": Category(("only",))}
        names = ("",) * num
        data = ImageSet(images, {"category": np.zeros(num, np.int64)}, fields, names, names)
        moves = Augmenter((Pick("flip"), Pick("shift")), fields, 0)
        normalise = Normalisation((0.5,) * 3, (0.2,) * 3)
        fused = BatchLoader(data, B, 0, normalise, moves)
        plain = BatchLoader(data, B, 0, normalise, moves)
        plain._fits_kernel = lambda: False
        race(
            f"flipped, shifted batch of {B}, {size}×{size}",
            lambda: plain.batch(1),
            lambda: fused.batch(1),
        )


def activation() -> None:
    """Alone: forward and backward; torch's own SiLU has nothing to gain."""
    for shape in ((128, 512), *SHAPES[:2]):
        x = (image(shape) if len(shape) == 4 else torch.randn(shape)).requires_grad_()
        grad = torch.randn_like(x)
        for name in ("gelu", "gelu_tanh", "tanh"):
            race(
                f"{name} {shape}",
                lambda name=name: torch.autograd.grad(ACTIVATIONS[name](x), x, grad),
                lambda name=name: torch.autograd.grad(kernels.activate(x, name), x, grad),
            )


def update() -> None:
    """Torch's fused steps against the least that memory allows: a foreach of two operands."""
    for num in (500_000, 10_000_000):
        sizes = [num // 40] * 40
        weights = [torch.randn(n).requires_grad_() for n in sizes]
        for weight in weights:
            weight.grad = torch.randn_like(weight)
        copies = [torch.randn(n) for n in sizes]
        for fused in (True, False):
            kind = "fused" if fused else "foreach"
            how = {"fused": True} if fused else {"foreach": True}
            sgd = torch.optim.SGD(weights, 1e-9, momentum=0.9, nesterov=True, **how)
            adam = torch.optim.AdamW(weights, 1e-9, **how)
            least = lambda: torch._foreach_lerp_(copies, [w.detach() for w in weights], 0.1)  # noqa: E731
            race(f"SGD {kind} beside one lerp, {num} weights", sgd.step, least)
            race(f"AdamW {kind} beside one lerp, {num} weights", adam.step, least)


FAMILIES = {f.__name__: f for f in (norm, answer, pool, dropout, batch, activation, update)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("family", nargs="*", default=list(FAMILIES))
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--seconds", action="store_true")
    options = parser.parse_args()
    repeats = options.repeats
    if options.seconds:
        clock = time.perf_counter
    else:
        torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {kernels.isa()}, {torch.get_num_threads()} thread(s)")
    for family in options.family:
        FAMILIES[family]()
