"""The one door: what the command line, and a person in Python, ask of Striate."""

from striate.api.evaluation import Evaluation, evaluate
from striate.api.run import Answer, Run, load
from striate.api.training import resume, train

__all__ = ["Answer", "Evaluation", "Run", "evaluate", "load", "resume", "train"]
