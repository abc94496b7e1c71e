"""From names to parts: everything that a configuration picks, checked together, then built."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from striate.config import RunConfig
from striate.data.augment import AUGMENTATIONS, Augmenter, shown_size
from striate.data.augment import OFFERED as AUGMENTATION_OFFERED
from striate.data.dataset import Dataset
from striate.data.loader import BatchLoader, Normalisation
from striate.errors import ConfigError
from striate.execution import Execution, choose, guess, step_seconds, trial_seconds
from striate.execution.device import thread_problem
from striate.losses import LOSSES
from striate.networks import NETWORKS
from striate.optim import OPTIMISERS, SCHEDULES, Average, parameter_groups
from striate.randomness import layer_randomness
from striate.registry import Pick
from striate.tasks import TASKS, DataShape, Task, task_named
from striate.training import transfer
from striate.training.fitting import NETWORK_ARGUMENTS, outputs_problem, size_problem, smaller
from striate.training.inference import Model

NO_LOSS = "none"
"""Name of the loss of what is fitted in one piece."""


@dataclass
class Parts:
    """Parts of a training; all but the schedule, the task and the data's shape carry state."""

    networks: nn.ModuleDict
    task: Task
    data: DataShape
    optimisers: dict[str, torch.optim.Optimizer]
    """An optimiser for each phase of the task."""
    schedule: Callable[[float], float]
    loader: BatchLoader
    model: Model
    """The networks as they predict."""
    average: Average | None
    execution: Execution
    frozen: transfer.FrozenFeatures | None = None
    """Features that come from published weights, and when they learn."""
    lacks_weights: bool = False
    """The file of published weights is gone: only a checkpoint can fill the network."""

    @property
    def whole(self) -> nn.Module:
        """All networks as one module; the only one itself, so that its names stay its own."""
        return whole(self.networks)

    @property
    def lr(self) -> float:
        """Learning rate of the first parameter group of the first phase."""
        groups = next(iter(self.optimisers.values())).param_groups
        return float(groups[0]["lr"])

    def learning(self, phase: str) -> nn.Module:
        """The networks that learn in a phase: all of them where there is one phase."""
        return self.whole if len(self.task.phases) == 1 else self.networks[phase]


def whole(networks: nn.ModuleDict) -> nn.Module:
    """The only network, or all of them."""
    return next(iter(networks.values())) if len(networks) == 1 else networks


def data_shape(config: RunConfig, fields: Mapping[str, Any]) -> DataShape:
    """The shape of a training's data: its fields, and images as the configuration asks."""
    return DataShape(fields, config.data.channels, config.data.input_size)


def check_config(config: RunConfig) -> None:
    """Bind every choice to its constructor, before data or a device are touched.

    Raises:
        ConfigError: all problems together.
    """
    check_choices(config)
    task = build_task(config)
    outputs = task.outputs
    if config.prediction.zoom is not None and outputs != "scores":
        raise ConfigError(
            f"prediction.zoom is for scores of whole images; the task {config.task.name} gives "
            f"{outputs}. Leave it out."
        )
    for network in config.picks.values():
        problem = (
            outputs_problem(network, outputs if network == config.network else None)
            or size_problem(network, config.data.channels, config.data.input_size)
            or _shown_problem(config)
        )
        if problem is not None:
            raise ConfigError(problem)


def _shown_problem(config: RunConfig) -> str | None:
    """Why the network cannot take the images as they are shown in training."""
    size = config.data.input_size
    shown: tuple[int, ...] = shown_size(config.augmentation, size)
    if shown != size:
        problem = size_problem(config.network, config.data.channels, size, shown)
        if problem is not None:
            return f"The augmentation crop leaves {' × '.join(map(str, shown))} pixels: {problem}"
    if not config.training.small_share:
        return None
    shown = smaller(shown, config.training.small_scale)
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
        *[p for pick in config.picks.values() for p in NETWORKS.problems(pick, NETWORK_ARGUMENTS)],
        *OPTIMISERS.problems(config.optimiser, ("params",)),
        *SCHEDULES.problems(config.schedule, ("progress",)),
        *TASKS.problems(config.task, ("loss",)),
    ]
    if config.task.name in TASKS:
        arguments = getattr(TASKS[config.task.name], "loss_arguments", ())
        problems += _loss_problems(config.loss, arguments, config.task.name)
    for pick in config.augmentation:
        problems += AUGMENTATIONS.problems(pick, AUGMENTATION_OFFERED)
    if (problem := thread_problem(config.execution.threads)) is not None:
        problems.append(problem)
    problems += _in_turn_problems(config)
    if not problems:
        problems += [*_number_problems(config), *_flow_problems(config)]
    if problems:
        raise ConfigError(problems)


def _flow_problems(config: RunConfig) -> list[str]:
    """Why a training cannot be watched."""
    if config.training.flow and len(build_task(config).phases) > 1:
        return ["training.flow is for tasks with one network that learns; leave it out."]
    return []


def _in_turn_problems(config: RunConfig) -> list[str]:
    """Why images cannot be learned from and validated in turn."""
    pretrained = config.pretrained
    if config.data.validation == "apart":
        return []
    if config.data.folds is not None:
        return ["data.validation=in turn: folds have a validation split each; leave out one."]
    if pretrained is None or pretrained.head != "solved" or pretrained.freeze != 1:
        return [
            "data.validation=in turn is for a last layer alone, solved on published weights: "
            "--pretrained NAME --set pretrained.head=solved --freeze 1."
        ]
    return []


def _loss_problems(loss: Pick, offered: tuple[str, ...], task: str) -> list[str]:
    """Problems of a loss for a task that offers these arguments."""
    problems = LOSSES.problems(loss, offered)
    if loss.name in LOSSES and LOSSES.problems(Pick(loss.name), offered):
        fitting = [name for name in LOSSES if not LOSSES.problems(Pick(name), offered)]
        problems.append(f"Losses for the task {task}: {', '.join(fitting)}.")
    return problems


def _number_problems(config: RunConfig) -> list[str]:
    """Numbers out of their range, as the constructors themselves report them."""
    problems = []
    weight = nn.Parameter(torch.zeros(2, 2))
    probes: list[tuple[str, Callable[[], object]]] = [
        ("optimiser", lambda: OPTIMISERS.build(config.optimiser, [{"params": [weight]}])),
        ("schedule", lambda: SCHEDULES.bind(config.schedule, ("progress",))(0.5)),
        ("loss", build_task(config).try_loss),
    ]
    for name, probe in probes:
        try:
            probe()
        except ConfigError as error:
            problems += [f"{name}: {problem}" for problem in error.problems]
        except (TypeError, ValueError) as error:
            problems.append(f"{name}: {error}")
    return problems


def build_networks(config: RunConfig, task: Task, data: DataShape) -> nn.ModuleDict:
    """The networks of a configuration with their weights drawn from the run's seed."""

    def build(name: str = "network", **arguments: Any) -> nn.Module:
        size = {"in_channels": data.channels, "input_size": data.size}
        return NETWORKS.build(config.picks[name], **{**size, **arguments})

    with layer_randomness(config.training.seed, "initialise"):
        return task.networks(build, data)


def build_task(config: RunConfig, facts: Mapping[str, Any] | None = None) -> Task:
    """The task of a configuration, with its loss.

    Args:
        config: Configuration.
        facts: Facts of the training split, as `Task.prepare` gave them; None: not known yet.

    Raises:
        ConfigError: the task is neither registered nor in an installed package.
    """
    task_named(config.task.name)
    loss = None if config.loss.name == NO_LOSS else config.loss
    task = TASKS.build(config.task, loss=loss)
    if facts:
        task.use(facts)
    return task


def assemble(
    config: RunConfig,
    data: Dataset,
    execution: Execution | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Parts:
    """All parts of a training, fresh.

    Args:
        config: Configuration; it is checked again.
        data: Data to train on.
        execution: How the arithmetic runs; None: chosen for this network, batch and machine.
        facts: Facts of the training split for the task; None: measured now.

    Raises:
        ConfigError: choices that do not fit.
    """
    check_config(config)
    if facts is None:
        facts = build_task(config).prepare(data.train)
    task, shape = build_task(config, facts), data_shape(config, data.fields)
    networks = build_networks(config, task, shape)
    if execution is None:
        Execution.of(config.execution)  # a device that is not there is reported before the trial
        execution = choose_execution(config, next(iter(networks.values())), len(data.train))
    pretrained = config.pretrained
    normalise = (
        Normalisation.measure(data.train.images)
        if pretrained is None
        else Normalisation(pretrained.mean, pretrained.deviation)
    )
    seed = config.training.seed
    loader = BatchLoader(
        data.train,
        config.training.batch_size,
        seed,
        normalise,
        Augmenter(config.augmentation, data.fields, seed),
        execution.device,
        execution.channels_last,
    )
    main = next(iter(networks.values()))
    lacks_weights = pretrained is not None and not transfer.load_features(main, pretrained)
    for network in networks.values():
        execution.place(network)
    if pretrained is None:
        for network in networks.values():
            if hasattr(network, "initialise_from"):
                network.initialise_from(_first_images(loader))  # type: ignore[operator]
    parts = Parts(
        networks=networks,
        task=task,
        data=shape,
        optimisers={},
        schedule=SCHEDULES.bind(config.schedule, ("progress",)),
        loader=loader,
        model=Model(networks, task, normalise, execution, config.prediction),
        average=Average(whole(networks)) if config.training.ema_half_life is not None else None,
        execution=execution,
        lacks_weights=lacks_weights,
    )
    for phase in task.phases:
        parts.optimisers[phase] = _optimiser(config, parts.learning(phase))
    if pretrained is not None:
        parts.frozen = transfer.FrozenFeatures.of(parts.whole, pretrained)
    return parts


def _optimiser(config: RunConfig, network: nn.Module) -> torch.optim.Optimizer:
    if config.pretrained is None:
        return OPTIMISERS.build(config.optimiser, parameter_groups(network))
    optimiser = OPTIMISERS.build(config.optimiser, transfer.head_first_groups(network))
    transfer.slow_features(optimiser, network, config.pretrained.feature_rate)
    return optimiser


def choose_execution(config: RunConfig, network: nn.Module, num_items: int) -> Execution:
    """How a training runs: guessed where steps end it, measured where the clock does.

    Operators differ in rounding. A guess follows from shapes, machine and versions alone, so that
    the same seed and number of steps give the same bits whatever was measured before. The clock
    gives another number of steps each time in any case, and a trial gives it more of them.
    """
    training = config.training
    batch = min(training.batch_size, num_items)
    size = shown_size(config.augmentation, config.data.input_size)
    shape = (batch, config.data.channels, *size)
    steps = [] if training.steps is None else [float(training.steps)]
    steps += [] if training.epochs is None else [training.epochs * num_items / batch]
    if training.minutes is None:
        return guess(network, shape, config.execution)
    left = 60 * training.minutes
    if steps and min(steps) * step_seconds(network, shape, config.execution) <= left:
        return guess(network, shape, config.execution)
    seconds = trial_seconds(left)
    trial = choose(network, shape, config.execution, seconds=seconds, training_seconds=left)
    return trial.execution


def _first_images(loader: BatchLoader, enough: int = 5_000) -> Tensor:
    """About `enough` training images, as the first steps will show them."""
    steps = range(max(1, min(enough, loader.num_items) // loader.batch_size))
    return torch.cat([loader.batch(step)["image"] for step in steps])
