"""The result of a gradient check: one line for each tensor, and the verdict over all."""

from dataclasses import dataclass
from typing import Literal

from striate.drawing.table import text_table

Verdict = Literal["agrees", "kink", "zero", "frozen", "no gradient", "wrong"]

FAILURES: tuple[Verdict, ...] = ("wrong", "no gradient")

MEANING: dict[Verdict, str] = {
    "kink": "the loss bends within the step (ReLU, max, hinge); the gradient is one of its slopes",
    "zero": "gradient and difference are both zero: nothing that is done to it moves the loss",
    "frozen": "requires_grad is False: not checked",
    "no gradient": "autograd gives none",
    "wrong": "the difference stays away from the gradient at every step",
}


@dataclass(frozen=True)
class TensorCheck:
    """The verdict on the gradient of one tensor."""

    name: str
    shape: tuple[int, ...]
    verdict: Verdict
    worst: tuple[int, ...] | None = None
    """Index of the worst element that was checked; None where none was."""
    analytic: float = 0.0
    """The gradient that autograd gives at that element."""
    numeric: float = 0.0
    """The derivative that differences measure at that element."""
    relative_error: float = 0.0
    """|analytic − numerical| / max(|analytic|, |numerical|) at that element."""
    projection_error: float | None = None
    """The largest relative error over random projections of the whole tensor, where it is large."""
    note: str = ""


@dataclass(frozen=True)
class GradientReport:
    """The result of a gradient check."""

    tensors: tuple[TensorCheck, ...]
    loss: float
    evaluations: int
    """Number of times the loss was computed."""
    seconds: float
    conditions: tuple[str, ...] = ()
    """Sentences on how randomness and running statistics were held fixed."""

    @property
    def ok(self) -> bool:
        """True when no gradient is wrong or missing."""
        return not self.failures

    @property
    def failures(self) -> tuple[TensorCheck, ...]:
        """The tensors whose gradient is wrong or missing."""
        return tuple(tensor for tensor in self.tensors if tensor.verdict in FAILURES)

    @property
    def exit_code(self) -> int:
        """0 when all is well, 1 otherwise; for scripts."""
        return 0 if self.ok else 1

    @property
    def verdict(self) -> str:
        """One sentence over all tensors."""
        if self.ok:
            checked = [t for t in self.tensors if t.verdict != "frozen"]
            return f"The gradients of all {len(checked)} tensors are right."
        names = ", ".join(f"{tensor.name} ({tensor.verdict})" for tensor in self.failures)
        return f"{len(self.failures)} of {len(self.tensors)} gradients fail: {names}."

    def __str__(self) -> str:
        table = text_table([_HEADER, *map(_row, self.tensors)], "<")
        seen = {tensor.verdict for tensor in self.tensors}
        legend = [f"{word}: {meaning}." for word, meaning in MEANING.items() if word in seen]
        notes = [f"{tensor.name}: {tensor.note}" for tensor in self.tensors if tensor.note]
        cost = f"loss {self.loss:.6g}, computed {self.evaluations} times in {self.seconds:.1f} s"
        blocks = [[table], legend, notes, list(self.conditions), [cost, self.verdict]]
        return "\n\n".join("\n".join(block) for block in blocks if block)


_VALUES = ("analytic", "numerical", "relative", "projected")
_HEADER = ("tensor", "shape", "verdict", "worst element", *_VALUES)


def _row(tensor: TensorCheck) -> tuple[str, ...]:
    shape = "×".join(map(str, tensor.shape)) or "scalar"
    whole = "" if tensor.projection_error is None else f"{tensor.projection_error:.1e}"
    if tensor.worst is None:
        return (tensor.name, shape, tensor.verdict, "", "", "", "", whole)
    position = "[" + ", ".join(map(str, tensor.worst)) + "]"
    values = (f"{tensor.analytic:+.4e}", f"{tensor.numeric:+.4e}", f"{tensor.relative_error:.1e}")
    return (tensor.name, shape, tensor.verdict, position, *values, whole)
