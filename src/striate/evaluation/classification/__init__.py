"""Evaluation of classifiers: metrics of K classes, calibration, abstention, comparison."""
