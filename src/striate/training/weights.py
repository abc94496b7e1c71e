"""The settings of a training that starts from weights: published ones, or those of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from striate.config import PretrainedConfig, RunConfig
from striate.errors import ConfigError, RunError, command_line
from striate.networks import NETWORKS, PRETRAINED
from striate.networks.pretrained import locate_weights, trainable_pick
from striate.networks.weight_file import Progress, WeightFile
from striate.registry import Pick
from striate.run_folder import RunFolder
from striate.settings import Settings, merge, setting_at
from striate.training.planner import Decision

_FROM_SOLVED = {"head": "solved", "feature_rate": 1.0, "averages": "held"}
"""A solved last layer belongs to the features as they are, at the averages that they had: 15-Scene,
900 images at 128 × 128, five epochs, n = 601: 14.3 % wrong became 14.0 % with averages of the
batches and 11.5 % with held ones."""

_BACKBONE = {"freeze": 0.0, "feature_rate": 0.3, "averages": "held"}
"""A backbone learns from the first step, more slowly than the new layers around it."""


class Known(NamedTuple):
    """Weights that a training starts from, and how they see images."""

    network: Pick
    channels: int
    size: tuple[int, int] | None
    """Height and width that they were trained for, where those hold; None: any."""
    name: str
    path: Path
    sha256: str
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    use: Mapping[str, Any]
    """Settings of `pretrained` by which they are used."""


def weights_settings(
    own: Settings,
    pretrained: str | Path,
    network: str | None = None,
    freeze: float | None = None,
    progress: Progress | None = None,
) -> Settings:
    """The settings of a training that starts from published weights; a person's own ones win.

    Args:
        own: A person's settings.
        pretrained: Name of published weights, a file of them, or the folder of a finished run.
        network: Network whose weights a file holds, where the file has no published name; or one
            that takes the weights as its backbone.
        freeze: Share of the training in which only the last layer learns; None: the default.
        progress: Receives the bytes of a download.

    Raises:
        ConfigError: an unknown name, or settings that the weights do not allow.
        CheckpointError, DownloadError, RunError: the weights cannot be had.
    """
    if (Path(pretrained) / "run.json").is_file():
        known = _of_run(Path(pretrained), network)
    else:
        known = _published(pretrained, network, progress)
    use = {} if setting_at(own, "pretrained.head") == "zero" else known.use
    settings: Settings = {
        "network": known.network.to_json(),
        "data": {"channels": known.channels},
        "pretrained": {
            "name": known.name,
            "file": str(known.path),
            "sha256": known.sha256,
            "mean": list(known.mean),
            "deviation": list(known.deviation),
            **use,
            **({} if freeze is None else {"freeze": freeze}),
        },
    }
    if known.size is not None:
        settings["data"]["input_size"] = list(known.size)
    merged = merge(settings, own)
    chosen = Pick.from_json(merged["network"])
    problems = []
    if chosen.name != known.network.name:
        problems.append(
            f"The weights {known.name!r} belong to the network {known.network}, not to "
            f"{chosen.name!r}; leave the network out."
        )
    if merged["data"].get("channels") != known.channels:
        images = "RGB images" if known.channels == 3 else f"images of {known.channels} channel(s)"
        problems.append(f"The weights {known.name!r} take {images}; leave data.channels out.")
    if problems:
        raise ConfigError(problems)
    return merged


def _published(pretrained: str | Path, network: str | None, progress: Progress | None) -> Known:
    """Weights of the table, for their network or as the backbone of another."""
    around = NETWORKS[network] if network is not None and network in NETWORKS else None
    backbone_of = getattr(around, "backbone_of", None)
    file = locate_weights(pretrained, backbone_of or network, progress)
    preparation = file.weights.preparation
    pick = Pick(str(network)) if backbone_of else trainable_pick(file.weights)
    use = _BACKBONE if backbone_of else _FROM_SOLVED
    known = file.name, file.path, file.sha256, preparation.mean, preparation.deviation
    return Known(pick, 3, None, *known, use)


def _of_run(path: Path, network: str | None) -> Known:
    """The weights of a finished run, whose images had one size and normalisation."""
    folder = RunFolder.existing(path)
    record = folder.record()
    config = RunConfig.from_json(record["config"])
    if not folder.is_complete:
        raise RunError(f"{path} has not ended; continue it with: {command_line('resume', path)}")
    if network is not None and network != config.network.name:
        raise ConfigError(
            f"{path} has trained the network {config.network}, not {network!r}; leave --network "
            "out."
        )
    tensors, stored = folder.read_tensors(folder.weights), record["normalisation"]
    use = _FROM_SOLVED if {"head.weight", "head.bias"} <= tensors.keys() else {"feature_rate": 0.1}
    height, width = config.data.input_size
    file = WeightFile.at(str(path), folder.weights)
    known = file.name, file.path, file.sha256, tuple(stored["mean"]), tuple(stored["std"])
    return Known(config.network, config.data.channels, (height, width), *known, use)


def explained(choices: list[Decision], own: Settings, config: RunConfig) -> list[Decision]:
    """The planner's decisions, with those that the weights made instead of a person.

    Args:
        choices: Decisions of the planner, which took the weights' settings for a person's.
        own: Settings of the person.
        config: Configuration of the training.
    """
    pretrained = config.pretrained
    if pretrained is None:
        return choices
    shown = {
        "network": ("network", str(config.network)),
        "channels": ("data.channels", "RGB"),
    }
    stages = {0.0: "nothing: all layers learn", 1.0: "all but the last layer, throughout"}
    stage = f"all but the last layer, in the first {pretrained.freeze:.0%} of the training"
    return [
        *(
            Decision(choice.what, shown[choice.what][1], "as the weights expect")
            if choice.what in shown and setting_at(own, shown[choice.what][0]) is None
            else choice
            for choice in choices
        ),
        Decision("weights", pretrained.name, _origin(pretrained)),
        Decision("frozen", stages.get(pretrained.freeze, stage), _why_frozen(pretrained)),
    ]


def _origin(pretrained: PretrainedConfig) -> str:
    """Where weights come from, under which licence, and their digest."""
    digest = f"SHA-256 {pretrained.sha256[:12]}..."
    weights = PRETRAINED.get(pretrained.name)
    if weights is None:
        return f"a run; {digest}"
    origin = f"the Python package {weights.package}" if weights.package else weights.file
    return f"{origin}; licence {weights.licence}; {digest}"


def _why_frozen(pretrained: PretrainedConfig) -> str:
    if pretrained.head == "zero":
        return "the last layer, or what stands around the backbone, is new"
    return "the last layer, which is new, is solved on features before the first step"
