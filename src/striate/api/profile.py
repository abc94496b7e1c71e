"""How a network runs fastest on this machine: the trial that a training makes, to be looked at."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from striate.api.run import Run
from striate.config import ExecutionConfig
from striate.errors import ConfigError, unknown_name
from striate.execution import Trial, choose, keep_pages
from striate.execution.table import trial_json, trial_text
from striate.networks import NETWORKS
from striate.randomness import layer_randomness
from striate.settings import merge, named_pick, parse_groups
from striate.training.assemble import whole
from striate.training.fitting import build_network
from striate.typed_json import decode

__all__ = ["profile", "trial_json", "trial_text"]


def profile(
    what: str | Path,
    *,
    batch_size: int | None = None,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    num_classes: int = 10,
    fresh: bool = False,
    seconds: float = 15.0,
    assignments: Sequence[str] = (),
) -> Trial:
    """The trial of a network: what was tried, how fast it was, what is chosen.

    Args:
        what: Name of `NETWORKS`, or the folder of a run.
        batch_size: Number of images B; by default the run's, or 128.
        size: Height and width; by default the run's, or 32 × 32.
        channels: Channels of an image; by default the run's, or 3.
        num_classes: Number of classes of a network by name.
        fresh: Whether to measure again what is remembered.
        seconds: Rough length of the trial.
        assignments: Other settings as words: ("network.depth=56", "execution.threads=1").

    Raises:
        ConfigError: no such network, or settings that do not fit.
        RunError: the folder holds no run.
    """
    keep_pages()
    settings = parse_groups(assignments, ("network", "execution"))
    name = str(what)
    if name in NETWORKS and not Path(name).exists():
        execution, pick = (
            _execution(settings, ExecutionConfig()),
            named_pick("network", name, settings),
        )
        shape = (batch_size or 128, channels or 3, *(size or (32, 32)))
        with layer_randomness(0, "initialise"):
            network = build_network(pick, num_classes, shape[1], shape[2:])
    else:
        if not Path(name).exists():
            raise ConfigError(
                f"{unknown_name('network', name, NETWORKS)} No run lies there either."
            )
        run = Run(what)
        config, data = run.config, run.config.data
        execution = _execution(settings, config.execution)
        if "network" in settings:
            raise ConfigError(f"The network of {what} is fixed; only execution.* can be set.")
        batch = batch_size or config.training.batch_size
        shape = (batch, channels or data.channels, *(size or data.input_size))
        network = whole(run.fresh_networks())
    return choose(network, shape, execution, seconds=seconds, fresh=fresh)


def _execution(settings: Mapping[str, Any], before: ExecutionConfig) -> ExecutionConfig:
    """The execution's configuration, changed by settings."""
    problems: list[str] = []
    merged = merge(vars(before), settings.get("execution", {}))
    config: ExecutionConfig = decode(ExecutionConfig, merged, "execution", problems)
    if problems:
        raise ConfigError(problems)
    return config
