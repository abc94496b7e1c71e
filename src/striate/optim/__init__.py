"""Optimisation: how the loss is brought down, and pictures of how that goes.

Optimisers take tensors or parameter groups and are `torch.optim.Optimizer`s; schedules are
functions of progress; weights may be averaged. A step is the loop's business.
"""

from torch.optim import Optimizer

from striate.optim.adaptive import adadelta, adagrad, adam, adamw, nadam, rmsprop
from striate.optim.average import Average
from striate.optim.averaged_descent import AveragedDescent
from striate.optim.descent import gradient_descent, momentum, sgd
from striate.optim.group import parameter_groups
from striate.optim.initialise import glorot, kaiming, lsuv, orthogonal, whiten
from striate.optim.muon import Muon
from striate.optim.plane import network_surface
from striate.optim.schedule import (
    constant,
    cosine,
    cosine_restarts,
    exponential,
    inverse_sqrt,
    linear,
    one_cycle,
    polynomial,
    step,
    warmup_stable_decay,
)
from striate.optim.schedule_free import evaluation_weights, schedule_free_adamw, schedule_free_sgd
from striate.optim.surface import (
    Surface,
    beale,
    himmelblau,
    plateau,
    ravine,
    rosenbrock,
    saddle,
)
from striate.registry import Registry

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
        "gradient_descent": gradient_descent,
        "momentum": momentum,
        "sgd": sgd,
        "asgd": AveragedDescent,
        "adagrad": adagrad,
        "adadelta": adadelta,
        "rmsprop": rmsprop,
        "adam": adam,
        "adamw": adamw,
        "nadam": nadam,
        "muon": Muon,
        "schedule_free_sgd": schedule_free_sgd,
        "schedule_free_adamw": schedule_free_adamw,
    },
)
"""Optimisers by name: `OPTIMISERS.build(Pick("sgd", lr=0.1), parameter_groups(network))`."""

SCHEDULES: Registry[float] = Registry(
    "schedule",
    {
        "constant": constant,
        "linear": linear,
        "polynomial": polynomial,
        "cosine": cosine,
        "cosine_restarts": cosine_restarts,
        "step": step,
        "exponential": exponential,
        "inverse_sqrt": inverse_sqrt,
        "one_cycle": one_cycle,
        "warmup_stable_decay": warmup_stable_decay,
    },
)
"""Schedules by name: `SCHEDULES.bind(Pick("cosine", warmup=0.05), ("progress",))(0.3)`."""

INITIALISATIONS: Registry[None] = Registry(
    "initialisation",
    {
        "glorot": glorot,
        "kaiming": kaiming,
        "orthogonal": orthogonal,
        "lsuv": lsuv,
        "whiten": whiten,
    },
)
"""First weights by name: `INITIALISATIONS.build(Pick("lsuv"), network, batch=images)`."""

SURFACES: Registry[Surface] = Registry(
    "surface",
    {
        "ravine": ravine,
        "saddle": saddle,
        "plateau": plateau,
        "rosenbrock": rosenbrock,
        "beale": beale,
        "himmelblau": himmelblau,
        "network": network_surface,
    },
)
"""Surfaces to race on, by name: `SURFACES.build(Pick("ravine", condition=100.0))`."""
