"""Gradients that a person can check: by differences, as a graph, as matrices, through time."""

from striate.calculus.check import check_function
from striate.calculus.network_check import check_network
from striate.calculus.numerical import Wiggled, default_step, numerical_gradient, wiggle
from striate.calculus.report import GradientReport, TensorCheck

__all__ = [
    "GradientReport",
    "TensorCheck",
    "Wiggled",
    "check_function",
    "check_network",
    "default_step",
    "numerical_gradient",
    "wiggle",
]
