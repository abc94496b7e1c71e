"""Whole trainings by name: functions that return a resolved configuration.

`striate train mnist_lenet` follows one; any setting of it can still be changed with `--set`.
"""

from striate.config import RunConfig
from striate.recipes.characters import digits_lenet, fashion_mnist_lenet, mnist_lenet
from striate.recipes.photographs import cifar10_airbench, cifar10_resnet20, cifar100_resnet20
from striate.recipes.plane import PLANE
from striate.registry import Registry

__all__ = [
    "RECIPES",
    "cifar10_airbench",
    "cifar10_resnet20",
    "cifar100_resnet20",
    "digits_lenet",
    "fashion_mnist_lenet",
    "mnist_lenet",
]

RECIPES: Registry[RunConfig] = Registry(
    "recipe",
    {
        "digits_lenet": digits_lenet,
        "mnist_lenet": mnist_lenet,
        "fashion_mnist_lenet": fashion_mnist_lenet,
        "cifar10_resnet20": cifar10_resnet20,
        "cifar10_airbench": cifar10_airbench,
        "cifar100_resnet20": cifar100_resnet20,
        **PLANE,
    },
)
