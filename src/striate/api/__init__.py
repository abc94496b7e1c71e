"""The one door: what the command line, and a person in Python, ask of Striate."""

from striate.api.answer import Answer
from striate.api.inspection import Inspection, inspect
from striate.api.run import Evaluation, Run, evaluate, load
from striate.api.training import resume, train

__all__ = [
    "Answer",
    "Evaluation",
    "Inspection",
    "Run",
    "evaluate",
    "inspect",
    "load",
    "resume",
    "train",
]
