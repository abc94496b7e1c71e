"""Points in the plane with a perceptron, whose regions and hidden space can be drawn."""

from collections.abc import Callable

from striate.config import DataConfig, RunConfig, TrainingConfig
from striate.data.plane import PLANE_SETS
from striate.registry import Pick

__all__ = ["PLANE"]


def _perceptron(source: str) -> Callable[[], RunConfig]:
    def recipe() -> RunConfig:
        return RunConfig(
            data=DataConfig(source=source, input_size=(1, 2), channels=1),
            network=Pick("mlp", hidden=(16, 16)),
            loss=Pick("softmax_cross_entropy"),
            optimiser=Pick("adamw", lr=0.01, weight_decay=0.0),
            schedule=Pick("one_cycle", peak=0.2),
            augmentation=(),
            training=TrainingConfig(batch_size=64, epochs=100, validations=5),
        )

    recipe.__doc__ = (
        f"A perceptron with two hidden layers of 16 units on the set {source}: seconds."
    )
    return recipe


PLANE: dict[str, Callable[[], RunConfig]] = {name: _perceptron(name) for name in PLANE_SETS}
"""Recipes of the same names as the sets."""
