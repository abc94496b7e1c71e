"""Predictions that other systems made, measured and compared."""

from striate.evaluation.classification.external import ExternalMetrics, measure_files

__all__ = ["ExternalMetrics", "measure_files"]
