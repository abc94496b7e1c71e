"""Optimisation: how the loss is brought down, and pictures of how that goes.

Optimisers take tensors or parameter groups and are `torch.optim.Optimizer`s; schedules are
functions of progress; weights may be averaged. A step is the loop's business.
"""

from torch.optim import Optimizer

from striate.optim import adaptive, descent, initialise, plane, schedule, schedule_free, surface
from striate.optim.average import Average
from striate.optim.averaged_descent import AveragedDescent
from striate.optim.group import parameter_groups
from striate.optim.muon import Muon
from striate.optim.schedule_free import evaluation_weights
from striate.optim.surface import Surface
from striate.registry import Registry, functions_giving

__all__ = [
    "INITIALISATIONS",
    "OPTIMISERS",
    "SCHEDULES",
    "SURFACES",
    "Average",
    "evaluation_weights",
    "parameter_groups",
]

OPTIMISERS: Registry[Optimizer] = Registry(
    "optimiser",
    {
        **functions_giving(Optimizer, descent),
        "asgd": AveragedDescent,
        **functions_giving(Optimizer, adaptive),
        "muon": Muon,
        **functions_giving(Optimizer, schedule_free),
    },
)
"""Optimisers by name: `OPTIMISERS.build(Pick("sgd", lr=0.1), parameter_groups(network))`."""

SCHEDULES: Registry[float] = Registry("schedule", functions_giving(float, schedule))
"""Schedules by name: `SCHEDULES.bind(Pick("cosine", warmup=0.05), ("progress",))(0.3)`."""

INITIALISATIONS: Registry[None] = Registry("initialisation", functions_giving(None, initialise))
"""First weights by name: `INITIALISATIONS.build(Pick("lsuv"), network, batch=images)`."""

SURFACES: Registry[Surface] = Registry(
    "surface", functions_giving(Surface, surface) | {"network": plane.network_surface}
)
"""Surfaces to race on, by name: `SURFACES.build(Pick("ravine", condition=100.0))`."""
