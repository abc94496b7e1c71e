"""Gradients that a person can check: by differences, as a graph, as matrices, through time."""

from striate.calculus.bptt import Decay, decay_png, decay_text, gradient_decay, time_contributions
from striate.calculus.check import check_function
from striate.calculus.cost import LayerCost, layer_costs
from striate.calculus.expression import Expression, parse_expression, parse_values
from striate.calculus.graph import graph
from striate.calculus.graph_data import Edge, Graph, Node
from striate.calculus.graph_fold import fold
from striate.calculus.graph_svg import graph_svg
from striate.calculus.jacobian import BackwardLayer, backward_layer, jacobian, jacobian_svg
from striate.calculus.mirror import mirror_svg
from striate.calculus.network_check import check_network, total_loss
from striate.calculus.numerical import CoordinateSearch, default_step, numerical_gradient, wiggle
from striate.calculus.report import GradientReport, TensorCheck

__all__ = [
    "BackwardLayer",
    "CoordinateSearch",
    "Decay",
    "Edge",
    "Expression",
    "GradientReport",
    "Graph",
    "LayerCost",
    "Node",
    "TensorCheck",
    "backward_layer",
    "check_function",
    "check_network",
    "decay_png",
    "decay_text",
    "default_step",
    "fold",
    "gradient_decay",
    "graph",
    "graph_svg",
    "jacobian",
    "jacobian_svg",
    "layer_costs",
    "mirror_svg",
    "numerical_gradient",
    "parse_expression",
    "parse_values",
    "time_contributions",
    "total_loss",
    "wiggle",
]
