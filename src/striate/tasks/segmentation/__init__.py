"""Segmentation: one class out of K for each pixel."""

from striate.tasks.segmentation.prediction import MaskPrediction
from striate.tasks.segmentation.task import Segmentation

__all__ = ["MaskPrediction", "Segmentation"]
