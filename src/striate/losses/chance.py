"""The expected loss before anything is learned, and a warning when the first loss is far off.

A network that knows nothing gives every class the same score. Far from that value at the first
step, something is wrong in most cases, and training may hide it for hours.
"""

import math
from typing import Any

from striate.errors import ConfigError

__all__ = ["chance_warning", "expected_loss_at_chance"]


def expected_loss_at_chance(name: str, num_classes: int, **arguments: Any) -> float | None:
    """The mean loss of equal scores for all classes; None when the loss is not known here.

    Args:
        name: Name of the loss in `LOSSES`.
        num_classes: Number of classes C.
        arguments: Arguments of the loss (margin, squared, include_correct, focus; label smoothing
            and class weights change nothing).

    Example:
        >>> round(expected_loss_at_chance("softmax_cross_entropy", 10), 4)
        2.3026
        >>> expected_loss_at_chance("hinge", 10, margin=0.5)
        4.5
    """
    if num_classes < 1:
        raise ConfigError(f"num_classes={num_classes} must be 1 or more.")
    if name in ("softmax_cross_entropy", "median_frequency_cross_entropy"):
        return math.log(num_classes)
    if name == "focal":
        focus = float(arguments.get("focus", 2.0))
        return float((1 - 1 / num_classes) ** focus) * math.log(num_classes)
    if name == "logistic":
        return max(num_classes - 1, 1) * math.log(2)
    if name == "hinge":
        margin = float(arguments.get("margin", 1.0))
        terms = num_classes if arguments.get("include_correct", False) else num_classes - 1
        return terms * (margin**2 if arguments.get("squared", False) else margin)
    return None


def chance_warning(loss_value: float, expected: float | None) -> str | None:
    """The usual reasons for a first loss far from the chance level; None when it is near.

    Args:
        loss_value: Mean loss of the first step, before any update.
        expected: Value of `expected_loss_at_chance`; None never warns.

    Example:
        >>> chance_warning(2.4, 2.3026) is None
        True
        >>> chance_warning(14.2, 2.3026).splitlines()[0]
        'The first loss is 14.2; a network that knows nothing would have 2.303.'
    """
    if expected is None:
        return None
    reasons: tuple[str, ...]
    if not math.isfinite(loss_value):
        reasons = _NOT_FINITE
    # Scores of variance v add about v/2 to log C: common initialisations stay below these bounds.
    elif loss_value > 1.5 * expected + 0.25:
        reasons = _ABOVE
    elif loss_value < 0.5 * expected:
        reasons = _BELOW
    else:
        return None
    head = f"The first loss is {loss_value:.4g}; a network that knows nothing would have "
    return "\n".join([f"{head}{expected:.4g}.", "Usual reasons:", *(f"- {r}" for r in reasons)])


_ABOVE = (
    "the images are not normalised (0 to 255 instead of mean 0 and deviation 1);",
    "the last layer starts with weights that are too large;",
    "the loss is a sum where a mean is meant, or counts a term twice;",
    "pretrained weights whose last layer was made for other classes.",
)
_BELOW = (
    "the target leaks into the input (a file name, a border, a mask drawn into the image);",
    "the network was trained on these classes before (then all is well);",
    "most targets are ignored or have a class weight near 0;",
    "almost all images are of one class and the last bias knows it.",
)
_NOT_FINITE = (
    "an image holds NaN or infinity, or was divided by a deviation of 0;",
    "the scores overflow: check the scale of the first weights and of the input.",
)
