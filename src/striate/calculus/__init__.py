"""Gradients that a person can check: by differences, as a graph, as matrices, through time."""

from striate.calculus.check import check_function
from striate.calculus.graph import graph
from striate.calculus.graph_data import Edge, Graph, Node
from striate.calculus.graph_fold import fold
from striate.calculus.graph_svg import graph_svg
from striate.calculus.graph_text import graph_text
from striate.calculus.network_check import check_network
from striate.calculus.numerical import Wiggled, default_step, numerical_gradient, wiggle
from striate.calculus.report import GradientReport, TensorCheck

__all__ = [
    "Edge",
    "GradientReport",
    "Graph",
    "Node",
    "TensorCheck",
    "Wiggled",
    "check_function",
    "check_network",
    "default_step",
    "fold",
    "graph",
    "graph_svg",
    "graph_text",
    "numerical_gradient",
    "wiggle",
]
