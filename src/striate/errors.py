"""One family of exceptions, and how every message is phrased.

A message says what is wrong, what came, what is accepted and what to do. Commands print it
without a traceback; from Python it is an ordinary exception. Anything that is not a
`StriateError` is a fault of the program, never of the person who uses it.
"""

import difflib
import shlex
from collections.abc import Iterable, Sequence


class StriateError(Exception):
    """Base of all errors that a person can correct."""


class ConfigError(StriateError):
    """A choice that does not exist or does not fit; all of them are reported together."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class StorageError(StriateError, OSError):
    """A file or folder that the system refused to read or write; `durable.explaining` makes them.

    Args:
        problem: Sentence that names the file and the reason.
        remedy: Beginning of a sentence on what to do about it: "Make room".
        then: End of that sentence: "continue with: striate resume runs/x"; empty: the call is
            to be repeated.
    """

    def __init__(self, problem: str, remedy: str = "Correct this", then: str = "") -> None:
        super().__init__(problem)
        self.problem, self.remedy, self.then = problem, remedy, then

    def __str__(self) -> str:
        return f"{self.problem} {self.remedy}, then {self.then or 'repeat this'}."


class DataError(StriateError):
    """Data that cannot be used as they are."""


class LeakError(DataError):
    """Test images with near-duplicates among the training and validation images."""


class MemoryLimitError(DataError):
    """A file that would take more memory than the limit allows."""


class DownloadError(DataError):
    """A named set that could not be fetched whole."""


class SealedTestError(StriateError):
    """An attempt to read the test split without opening it through the ledger."""


class LedgerError(StriateError):
    """A ledger of test openings that was altered or cannot be written."""


class RunError(StriateError):
    """A run folder that is missing, taken or unusable."""


class CheckpointError(RunError):
    """A checkpoint that cannot be written or read."""


class DivergenceError(StriateError):
    """A training that left the finite numbers and could not be brought back."""


class ShapeError(StriateError, ValueError):
    """A tensor or an input size that a layer or a network cannot take."""


class InputError(StriateError, ValueError):
    """Arrays or parameters that a scikit-learn estimator cannot take."""


def command_line(*words: object) -> str:
    """A command of Striate as a person may type it, its paths quoted for the shell.

    Example:
        >>> command_line("evaluate", "my runs/first")
        "striate evaluate 'my runs/first'"
    """
    return shlex.join(["striate", *map(str, words)])


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question for the known name nearest to `name`; empty when none is close.

    Example:
        >>> did_you_mean("resnt", ["vgg", "resnet"])
        " Did you mean 'resnet'?"
    """
    folded = {known_name.lower().replace("-", "_"): known_name for known_name in known}
    matches = difflib.get_close_matches(name.lower().replace("-", "_"), folded, n=1, cutoff=0.6)
    return f" Did you mean {folded[matches[0]]!r}?" if matches else ""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """The sentence for a name that is not in a table: what came, the nearest, what is accepted."""
    names = sorted(known)
    hint = did_you_mean(name, names)
    return f"There is no {kind} named {name!r}.{hint} Known: {', '.join(names) or 'none'}."
