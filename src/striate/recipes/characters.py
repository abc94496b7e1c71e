"""Small grey characters and clothes with LeNet-5."""

from striate.config import DataConfig, RunConfig, TrainingConfig
from striate.registry import Pick


def _lenet(source: str, side: int, augmentation: tuple[Pick, ...], **length: float) -> RunConfig:
    return RunConfig(
        data=DataConfig(source=source, input_size=(side, side), channels=1),
        network=Pick("lenet5"),
        loss=Pick("softmax_cross_entropy"),
        optimiser=Pick("adamw", lr=2e-3, weight_decay=0.01),
        schedule=Pick("one_cycle", peak=0.2),
        augmentation=augmentation,
        training=TrainingConfig(batch_size=128, ema_half_life=0.02, **length),  # type: ignore[arg-type]
    )


def digits_lenet() -> RunConfig:
    """LeNet-5 on scikit-learn's 8×8 digits: seconds."""
    return _lenet("digits", 8, (Pick("affine", degrees=8.0),), epochs=100)


def mnist_lenet() -> RunConfig:
    """LeNet-5 on MNIST: two or three minutes on two cores."""
    return _lenet("mnist", 28, (Pick("affine", degrees=8.0),), epochs=15)


def fashion_mnist_lenet() -> RunConfig:
    """LeNet-5 on Fashion-MNIST, mirrored at random."""
    return _lenet("fashion-mnist", 28, (Pick("flip"), Pick("shift")), epochs=20)
