"""Classification: one class out of K for each image, with its evidence."""

from striate.tasks.classification.prediction import ClassPrediction
from striate.tasks.classification.task import Classification

__all__ = ["ClassPrediction", "Classification"]
