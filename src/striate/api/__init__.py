"""The one door: what the command line, and a person in Python, ask of Striate."""

from striate.api.evaluation import Evaluation, evaluate, evaluate_runs
from striate.api.inspection import Inspection, inspect
from striate.api.run import Run, load
from striate.api.training import resume, train
from striate.tasks import Prediction

__all__ = [
    "Evaluation",
    "Inspection",
    "Prediction",
    "Run",
    "evaluate",
    "evaluate_runs",
    "inspect",
    "load",
    "resume",
    "train",
]
