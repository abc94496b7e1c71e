"""From names to parts: everything that a configuration picks, checked together, then built."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.config import RunConfig
from striate.data.augment import AUGMENTATIONS, augmenter
from striate.data.augment import OFFERED as AUGMENTATION_OFFERED
from striate.data.dataset import Dataset
from striate.data.loader import BatchLoader, Normalisation
from striate.errors import ConfigError
from striate.execution import Execution, choose, step_seconds, trial_seconds
from striate.execution.device import thread_problem
from striate.losses import LOSSES
from striate.networks import NETWORKS
from striate.optim import OPTIMISERS, SCHEDULES, Average, parameter_groups
from striate.randomness import layer_randomness
from striate.tasks import TASKS, Classification
from striate.training import transfer
from striate.training.fitting import classifier_problem, size_problem, smaller

__all__ = [
    "Parts",
    "assemble",
    "build_network",
    "build_task",
    "check_choices",
    "check_config",
    "choose_execution",
]

_NETWORK_OFFERED = ("num_classes", "in_channels", "input_size")


@dataclass
class Parts:
    """What the loop works with; all but the schedule and the task carry state."""

    network: nn.Module
    task: Classification
    optimiser: torch.optim.Optimizer
    schedule: Callable[[float], float]
    loader: BatchLoader
    normalise: Normalisation
    average: Average | None
    execution: Execution
    num_classes: int
    frozen: transfer.FrozenFeatures | None = None
    """Features that come from published weights, and when they learn."""
    lacks_weights: bool = False
    """The file of published weights is gone: only a checkpoint can fill the network."""


def check_config(config: RunConfig) -> None:
    """Bind every choice to its constructor, before data or a device are touched.

    Raises:
        ConfigError: all problems together.
    """
    check_choices(config)
    problem = (
        classifier_problem(config.network)
        or size_problem(config.network, config.data.channels, config.data.input_size)
        or _small_problem(config)
    )
    if problem is not None:
        raise ConfigError(problem)


def _small_problem(config: RunConfig) -> str | None:
    """Why the network cannot take the images as they are shown at first."""
    if not config.training.small_share:
        return None
    size = config.data.input_size
    shown = smaller(size, config.training.small_scale)
    problem = size_problem(config.network, config.data.channels, size, shown)
    if problem is None:
        return None
    return (
        f"training.small_scale={config.training.small_scale:g} shows images of "
        f"{' × '.join(map(str, shown))} pixels at first, which {config.network.name} cannot take "
        f"({problem}) Give a larger training.small_scale, or training.small_share=0."
    )


def check_choices(config: RunConfig) -> None:
    """`check_config` but for the images' size, which takes a tenth of a second.

    Raises:
        ConfigError: all problems together.
    """
    problems = [
        *NETWORKS.problems(config.network, _NETWORK_OFFERED),
        *LOSSES.problems(config.loss, ("scores", "target")),
        *OPTIMISERS.problems(config.optimiser, ("params",)),
        *SCHEDULES.problems(config.schedule, ("progress",)),
        *TASKS.problems(config.task, ("loss",)),
    ]
    for pick in config.augmentation:
        problems += AUGMENTATIONS.problems(pick, AUGMENTATION_OFFERED)
    if (problem := thread_problem(config.execution.threads)) is not None:
        problems.append(problem)
    if not problems:
        problems += _number_problems(config)
    if problems:
        raise ConfigError(problems)


def _number_problems(config: RunConfig) -> list[str]:
    """Numbers out of their range, as the constructors themselves tell them."""
    problems = []
    weight = nn.Parameter(torch.zeros(2, 2))
    probes: list[tuple[str, Callable[[], object]]] = [
        ("optimiser", lambda: OPTIMISERS.build(config.optimiser, [{"params": [weight]}])),
        ("schedule", lambda: SCHEDULES.bind(config.schedule, ("progress",))(0.5)),
        (
            "loss",
            lambda: build_task(config).losses(nn.Identity(), weight, torch.zeros(2).long()),
        ),
    ]
    for name, probe in probes:
        try:
            probe()
        except ConfigError as error:
            problems += [f"{name}: {problem}" for problem in error.problems]
        except (TypeError, ValueError) as error:
            problems.append(f"{name}: {error}")
    return problems


def build_network(config: RunConfig, num_classes: int) -> nn.Module:
    """The network of a configuration with its weights drawn from the run's seed."""
    with layer_randomness(config.training.seed, "initialise"):
        return NETWORKS.build(
            config.network,
            num_classes=num_classes,
            in_channels=config.data.channels,
            input_size=config.data.input_size,
        )


def build_task(config: RunConfig) -> Classification:
    """The task of a configuration, with its loss."""
    loss: Callable[..., Tensor] = LOSSES.bind(config.loss, ("scores", "target"))
    return TASKS.build(config.task, loss=loss)


def assemble(config: RunConfig, data: Dataset, execution: Execution | None = None) -> Parts:
    """All parts of a training, fresh.

    Args:
        config: checked again.
        data: of the training.
        execution: on what it runs; None: chosen for this network, batch and machine.

    Raises:
        ConfigError: choices that do not fit.
    """
    check_config(config)
    num_classes = len(data.class_names)
    network = build_network(config, num_classes)
    if execution is None:
        Execution.of(config.execution)  # a device that is not there is told before the trial
        execution = choose_execution(config, network, len(data.train))
    pretrained = config.pretrained
    normalise = (
        Normalisation.measure(data.train.images)
        if pretrained is None
        else transfer.normalisation(pretrained)
    )
    seed = config.training.seed
    loader = BatchLoader(
        data.train,
        config.training.batch_size,
        seed,
        normalise,
        augmenter(config.augmentation, num_classes, seed),
        execution.device,
        execution.channels_last,
    )
    lacks_weights = pretrained is not None and not transfer.load_features(network, pretrained)
    network = execution.place(network)
    initialise: Callable[[Tensor], None] | None = getattr(network, "initialise_from", None)
    if initialise is not None and pretrained is None:
        initialise(_first_images(loader))
    if pretrained is None:
        optimiser = OPTIMISERS.build(config.optimiser, parameter_groups(network))
    else:
        optimiser = OPTIMISERS.build(config.optimiser, transfer.groups_by_part(network))
        transfer.slow_features(optimiser, network, pretrained.feature_rate)
    return Parts(
        network=network,
        task=build_task(config),
        optimiser=optimiser,
        schedule=SCHEDULES.bind(config.schedule, ("progress",)),
        loader=loader,
        normalise=normalise,
        average=Average(network) if config.training.ema_half_life is not None else None,
        execution=execution,
        num_classes=num_classes,
        frozen=None if pretrained is None else transfer.FrozenFeatures(network, pretrained.freeze),
        lacks_weights=lacks_weights,
    )


def choose_execution(config: RunConfig, network: nn.Module, num_items: int) -> Execution:
    """How a training runs, after a trial that takes little of its time (none of a short one's)."""
    training = config.training
    batch = min(training.batch_size, num_items)
    shape = (batch, config.data.channels, *config.data.input_size)
    lengths = [] if training.minutes is None else [60 * training.minutes]
    steps = [] if training.steps is None else [float(training.steps)]
    steps += [] if training.epochs is None else [training.epochs * num_items / batch]
    if steps:
        lengths.append(min(steps) * step_seconds(network, shape, config.execution))
    left = min(lengths)
    seconds = trial_seconds(left)
    trial = choose(network, shape, config.execution, seconds=seconds, training_seconds=left)
    return trial.execution


def _first_images(loader: BatchLoader, enough: int = 5_000) -> Tensor:
    """About `enough` training images, as the first steps will show them."""
    steps = range(max(1, min(enough, loader.num_items) // loader.batch_size))
    return torch.cat([loader.batch(step).images for step in steps])
