"""In which order measurements are made: A B C A B C, never A A B B.

What slows a machine for a minute then slows every peer once, not one peer three times.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Job", "interleaved"]


@dataclass(frozen=True)
class Job:
    """One measurement: of a case (a network, a budget), with a peer, for the nth time."""

    case: str
    peer: str
    repeat: int


def interleaved(cases: Sequence[str], peers: Sequence[str], repeats: int) -> Iterator[Job]:
    """Case by case, in each case round by round, in each round peer by peer.

    Every second round runs backwards, so that no peer is always the one after another.

    Example:
        >>> [job.peer for job in interleaved(["net"], ["a", "b"], 2)]
        ['a', 'b', 'b', 'a']
    """
    for case in cases:
        for repeat in range(repeats):
            for peer in peers if repeat % 2 == 0 else tuple(reversed(peers)):
                yield Job(case, peer, repeat)
