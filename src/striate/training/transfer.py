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
from striate.data.loader import Normalisation
from striate.errors import ConfigError
from striate.networks import PRETRAINED
from striate.networks.head import head_names
from striate.networks.pretrained import fill, locate_weights, trainable_pick
from striate.networks.weight_file import Progress, WeightFile, find_weights
from striate.optim import parameter_groups
from striate.registry import Pick
from striate.settings import Settings, merge
from striate.training.planner import Decision


class FrozenFeatures:
    """Features that stay as they are for the first share of a training.

    Args:
        network: with all of its parameters trainable.
        share: of the training in which the features are frozen.
    """

    def __init__(self, network: nn.Module, share: float) -> None:
        heads = head_names(network)
        self._share = share
        self._parameters = [
            parameter
            for name, parameter in network.named_parameters()
            if parameter.requires_grad and not _belongs(name, heads)
        ]
        # their averages move in training mode even where no gradient flows
        self._norms = [
            module
            for name, module in network.named_modules()
            if hasattr(module, "running_mean") and not _belongs(name, heads)
        ]

    def follow(self, progress: float) -> None:
        """Freeze or release the features, as a step of a training so far along needs it."""
        frozen = progress < self._share
        for parameter in self._parameters:
            parameter.requires_grad_(not frozen)
        for module in self._norms:
            module.train(not frozen)


def _belongs(name: str, heads: tuple[str, ...]) -> bool:
    return any(name == head or name.startswith(f"{head}.") for head in heads)


def load_features(network: nn.Module, pretrained: PretrainedConfig) -> bool:
    """Whether all but the heads could be filled from the weights' file; heads begin at zero.

    A file that is gone or holds other content leaves the network as it is.

    Raises:
        CheckpointError: tensors that do not fit the network.
    """
    found = _file_of(pretrained)
    if found is None:
        return False
    fill(network, found, fresh_head=True)
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
            found = WeightFile.at(pretrained.name, path)
            if found.sha256 == pretrained.sha256:
                return found
    return None


def normalisation(pretrained: PretrainedConfig) -> Normalisation:
    """The preparation that the weights were trained with."""
    return Normalisation(pretrained.mean, pretrained.deviation)


def groups_by_part(network: nn.Module) -> list[dict[str, Any]]:
    """Parameter groups as for any training, those of the heads first, then the features'."""
    heads = head_names(network)
    of_heads = {id(p) for name, p in network.named_parameters() if _belongs(name, heads)}
    groups = parameter_groups(network)
    parted = [
        {**group, "params": [p for p in group["params"] if (id(p) in of_heads) == wanted]}
        for wanted in (True, False)
        for group in groups
    ]
    return [group for group in parted if group["params"]]


def slow_features(optimiser: torch.optim.Optimizer, network: nn.Module, share: float) -> None:
    """Give the groups of the features a share of the rate: they know much already."""
    heads = head_names(network)
    of_heads = {id(p) for name, p in network.named_parameters() if _belongs(name, heads)}
    for group in optimiser.param_groups:
        if not any(id(p) in of_heads for p in group["params"]):
            group["lr"] *= share


def weights_settings(
    asked: Settings,
    pretrained: str | Path,
    *,
    network: str | None = None,
    freeze: float | None = None,
    progress: Progress | None = None,
) -> Settings:
    """The settings of a training that starts from published weights; what was asked for wins.

    Args:
        asked: a person's settings.
        pretrained: a name of published weights, or a file of them.
        network: for a file that has no published name: whose weights it holds.
        freeze: share of the training in which only the last layer learns; None: the default.
        progress: told the bytes of a download.

    Raises:
        ConfigError: an unknown name, or settings that the weights do not allow.
        CheckpointError, DownloadError: the file cannot be had.
    """
    found = locate_weights(pretrained, network, progress)
    weights = found.weights
    pick = trainable_pick(weights)
    settings: Settings = {
        "network": pick.to_json(),
        "data": {"input_size": list(weights.preparation.input_size), "channels": 3},
        "pretrained": {
            "name": found.name,
            "file": str(found.path),
            "sha256": found.sha256,
            "mean": list(weights.preparation.mean),
            "deviation": list(weights.preparation.deviation),
            **({} if freeze is None else {"freeze": freeze}),
        },
    }
    merged = merge(settings, asked)
    given = Pick.from_json(merged["network"])
    problems = []
    if given.name != pick.name:
        problems.append(
            f"The weights {found.name!r} belong to the network {pick}, not to {given.name!r}; "
            "leave the network out."
        )
    if merged["data"].get("channels") != 3:
        problems.append("Published weights take RGB images; leave data.channels out.")
    if problems:
        raise ConfigError(problems)
    return merged


def lacking(config: RunConfig) -> str:
    """Advice on weights whose file is gone or changed before anything was learned."""
    pretrained = config.pretrained
    file = "its published weights" if pretrained is None else pretrained.file
    return (
        f"This run has no checkpoint yet, and {file}, which it starts from, is gone or has "
        "changed. Put it back, or train anew."
    )


def explained(choices: list[Decision], asked: Settings, config: RunConfig) -> list[Decision]:
    """The planner's choices, with what the weights decided told apart from what was asked.

    Args:
        choices: of the planner, which took the weights' settings for a person's.
        asked: what the person asked for.
        config: of the training.
    """
    pretrained = config.pretrained
    if pretrained is None:
        return choices
    data = asked.get("data") or {}
    size = " × ".join(map(str, config.data.input_size))
    decided = {
        "network": (asked.get("network") is None, str(config.network)),
        "input size": ("input_size" not in data, size),
        "channels": ("channels" not in data, "RGB"),
    }
    told = []
    for choice in choices:
        by_weights, shown = decided.get(choice.what, (False, ""))
        why = "as the published weights expect"
        told.append(Decision(choice.what, shown, why) if by_weights else choice)
    stages = {0.0: "nothing: all layers learn at once", 1.0: "all but the last layer, throughout"}
    stage = f"all but the last layer, in the first {pretrained.freeze:.0%} of the training"
    return [
        *told,
        Decision("weights", pretrained.name, f"SHA-256 {pretrained.sha256[:12]}..."),
        Decision("frozen", stages.get(pretrained.freeze, stage), "the last layer is new"),
    ]
