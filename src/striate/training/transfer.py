"""A training that starts from published weights: settings, loading, the frozen stage.

While the features are frozen only the heads have gradients. One optimiser holds all parameters
from the first step: what has no gradient it leaves alone, so that a checkpoint has one form, and
what is frozen follows from the progress alone, so that a resumed training knows it.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from striate.config import PretrainedConfig, RunConfig
from striate.errors import ConfigError
from striate.networks import NETWORKS, PRETRAINED
from striate.networks.head import head_names
from striate.networks.pretrained import fill, locate_weights, trainable_pick
from striate.networks.weight_file import Progress, WeightFile, find_weights
from striate.optim import parameter_groups
from striate.registry import Pick
from striate.settings import Settings, merge, setting_at
from striate.training.planner import Decision

_FROM_SOLVED = {"head": "solved", "feature_rate": 1.0, "averages": "held"}
"""A solved last layer belongs to the features as they are, at the averages that they had: 15-Scene,
900 images at 128 × 128, five epochs, n = 601: 14.3 % wrong became 14.0 % with averages of the
batches and 11.5 % with held ones."""

_BACKBONE = {"freeze": 0.0, "feature_rate": 0.3, "averages": "held"}
"""A backbone learns from the first step, more slowly than the new layers around it."""


class FrozenFeatures:
    """Features that stay as they are for the first share of a training.

    Args:
        network: Network with all of its parameters trainable.
        share: Share of the training in which the features are frozen.
        held: Whether their normalisations keep their averages after that, too.
    """

    def __init__(self, network: nn.Module, share: float, *, held: bool = False) -> None:
        heads = new_layers(network)
        self._share = share
        self._held = held
        self._parameters = [
            p
            for name, p in network.named_parameters()
            if p.requires_grad and not _belongs(name, heads)
        ]
        # their averages move in training mode even where no gradient flows
        self._norms = [
            module
            for name, module in network.named_modules()
            if hasattr(module, "running_mean") and not _belongs(name, heads)
        ]

    @classmethod
    def of(cls, network: nn.Module, pretrained: PretrainedConfig) -> "FrozenFeatures":
        """The frozen features of a training that starts from published weights."""
        return cls(network, pretrained.freeze, held=pretrained.averages == "held")

    def follow(self, progress: float) -> None:
        """Freeze or release the features, as a step of a training so far along needs it."""
        frozen = progress < self._share
        for parameter in self._parameters:
            parameter.requires_grad_(not frozen)
        for module in self._norms:
            module.train(not (frozen or self._held))


def new_layers(network: nn.Module) -> tuple[str, ...]:
    """Names of the layers that no published weights fill: all around a backbone, or the heads."""
    if hasattr(network, "backbone"):
        return tuple(name for name, _ in network.named_children() if name != "backbone")
    return head_names(network)


def _belongs(name: str, heads: tuple[str, ...]) -> bool:
    return any(name == head or name.startswith(f"{head}.") for head in heads)


def load_features(network: nn.Module, pretrained: PretrainedConfig) -> bool:
    """Whether all but the new layers could be filled from the weights' file; heads begin at zero.

    A file that is gone or holds other content leaves the network as it is.

    Raises:
        CheckpointError: tensors that do not fit the network.
    """
    file = _file_of(pretrained)
    if file is None:
        return False
    if hasattr(network, "backbone"):
        fill(network.backbone, file, partly=True)  # type: ignore[arg-type]
        return True
    fill(network, file, fresh_head=True)
    for head in head_names(network):
        # published features come at any scale: with zeros the first loss is log K all the same
        for parameter in network.get_submodule(head).parameters():
            nn.init.zeros_(parameter)
    return True


def _file_of(pretrained: PretrainedConfig) -> WeightFile | None:
    """The file with the very content that the training began with, where it was or where
    published files are."""
    weights = PRETRAINED.get(pretrained.name)
    if weights is None:
        return None
    for path in (Path(pretrained.file), find_weights(weights)):
        if path is not None and path.is_file():
            file = WeightFile.at(pretrained.name, path)
            if file.sha256 == pretrained.sha256:
                return file
    return None


def head_first_groups(network: nn.Module) -> list[dict[str, Any]]:
    """Parameter groups as for any training, those of the heads first, then the features'."""
    of_heads = _head_parameters(network)
    groups = [
        {**group, "params": [p for p in group["params"] if (id(p) in of_heads) == is_head]}
        for is_head in (True, False)
        for group in parameter_groups(network)
    ]
    return [group for group in groups if group["params"]]


def slow_features(optimiser: torch.optim.Optimizer, network: nn.Module, share: float) -> None:
    """Give the groups of the features a share of the rate: they know much already."""
    of_heads = _head_parameters(network)
    for group in optimiser.param_groups:
        if not any(id(p) in of_heads for p in group["params"]):
            group["lr"] *= share


def _head_parameters(network: nn.Module) -> set[int]:
    heads = new_layers(network)
    return {id(p) for name, p in network.named_parameters() if _belongs(name, heads)}


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
        pretrained: Name of published weights, or a file of them.
        network: Network whose weights a file holds, where the file has no published name.
        freeze: Share of the training in which only the last layer learns; None: the default.
        progress: Receives the bytes of a download.

    Raises:
        ConfigError: an unknown name, or settings that the weights do not allow.
        CheckpointError, DownloadError: the file cannot be had.
    """
    around = (
        getattr(NETWORKS[network], "backbone_of", None) if network and network in NETWORKS else None
    )
    file = locate_weights(pretrained, around or network, progress)
    weights = file.weights
    pick = trainable_pick(weights) if around is None else Pick(str(network))
    is_old = around is None and setting_at(own, "pretrained.head") == "zero"
    settings: Settings = {
        "network": pick.to_json(),
        "data": {"channels": 3},
        "pretrained": {
            "name": file.name,
            "file": str(file.path),
            "sha256": file.sha256,
            "mean": list(weights.preparation.mean),
            "deviation": list(weights.preparation.deviation),
            **(_BACKBONE if around else {} if is_old else _FROM_SOLVED),
            **({} if freeze is None else {"freeze": freeze}),
        },
    }
    merged = merge(settings, own)
    chosen = Pick.from_json(merged["network"])
    problems = []
    if chosen.name != pick.name:
        problems.append(
            f"The weights {file.name!r} belong to the network {pick}, not to {chosen.name!r}; "
            "leave the network out."
        )
    if merged["data"].get("channels") != 3:
        problems.append("Published weights take RGB images; leave data.channels out.")
    if problems:
        raise ConfigError(problems)
    return merged


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
            Decision(choice.what, shown[choice.what][1], "as the published weights expect")
            if choice.what in shown and setting_at(own, shown[choice.what][0]) is None
            else choice
            for choice in choices
        ),
        Decision("weights", pretrained.name, f"SHA-256 {pretrained.sha256[:12]}..."),
        Decision("frozen", stages.get(pretrained.freeze, stage), _why_frozen(pretrained)),
    ]


def _why_frozen(pretrained: PretrainedConfig) -> str:
    if pretrained.head == "zero":
        return "the last layer is new"
    return "the last layer, which is new, is solved on features before the first step"
