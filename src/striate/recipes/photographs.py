"""Small photographs with residual and airbench networks."""

from striate.config import DataConfig, RunConfig, TrainingConfig
from striate.registry import Pick


def _resnet20(source: str) -> RunConfig:
    """He et al. 2015, section 4.2, with one cycle in place of the steps of the rate."""
    return RunConfig(
        data=DataConfig(source=source, input_size=(32, 32), channels=3),
        network=Pick("resnet", depth=20),
        loss=Pick("softmax_cross_entropy"),
        optimiser=Pick("sgd", lr=0.2, weight_decay=5e-4),
        schedule=Pick("one_cycle", peak=0.2),
        augmentation=(Pick("flip"), Pick("shift", fraction=0.125)),
        training=TrainingConfig(batch_size=128, epochs=40),
    )


def cifar10_resnet20() -> RunConfig:
    """ResNet-20 on CIFAR-10, 40 epochs: about an hour on two cores."""
    return _resnet20("cifar10")


def cifar100_resnet20() -> RunConfig:
    """ResNet-20 on CIFAR-100, 40 epochs: about an hour on two cores."""
    return _resnet20("cifar100")


def cifar10_airbench() -> RunConfig:
    """The airbench network of its paper's widths on CIFAR-10, 8 epochs."""
    return RunConfig(
        data=DataConfig(source="cifar10", input_size=(32, 32), channels=3),
        network=Pick("airbench", widths=[64, 256, 256]),
        loss=Pick("softmax_cross_entropy", label_smoothing=0.2),
        optimiser=Pick("sgd", lr=0.3, weight_decay=5e-4),
        schedule=Pick("one_cycle", peak=0.2),
        augmentation=(Pick("flip", alternating=True), Pick("shift")),
        training=TrainingConfig(batch_size=128, epochs=8, ema_half_life=0.03),
    )
