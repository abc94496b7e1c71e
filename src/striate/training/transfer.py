"""A training that starts from weights: loading them, and the stage in which they are frozen.

While the features are frozen only the heads have gradients. One optimiser holds all parameters
from the first step: what has no gradient it leaves alone, so that a checkpoint has one form, and
what is frozen follows from the progress alone, so that a resumed training knows it.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from striate.config import PretrainedConfig
from striate.errors import CheckpointError
from striate.networks import PRETRAINED
from striate.networks.head import head_names
from striate.networks.pretrained import fill
from striate.networks.weight_file import WeightFile, find_weights, read_weights
from striate.optim import parameter_groups


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
    if pretrained.name not in PRETRAINED:
        return _load_run(network, pretrained)
    file = _file_of(pretrained)
    if file is None:
        return False
    if hasattr(network, "backbone"):
        fill(network.backbone, file, partly=True)  # type: ignore[arg-type]
        return True
    fill(network, file, fresh_head=True)
    _zero_heads(network)
    return True


def _load_run(network: nn.Module, pretrained: PretrainedConfig) -> bool:
    """Whether all but the heads could be filled from the weights of a run."""
    path, heads = Path(pretrained.file), head_names(network)
    if not path.is_file() or WeightFile.at(pretrained.name, path).sha256 != pretrained.sha256:
        return False
    own = network.state_dict()
    tensors = {k: t for k, t in read_weights(path).items() if not _belongs(k, heads)}
    kept = {k: t for k, t in own.items() if _belongs(k, heads)}
    try:
        network.load_state_dict({**tensors, **kept})
    except RuntimeError as error:
        raise CheckpointError(f"The weights of {pretrained.name} do not fit: {error}") from None
    _zero_heads(network)
    return True


def _zero_heads(network: nn.Module) -> None:
    # features come at any scale: with zeros the first loss is log K all the same
    for head in head_names(network):
        for parameter in network.get_submodule(head).parameters():
            nn.init.zeros_(parameter)


def _file_of(pretrained: PretrainedConfig) -> WeightFile | None:
    """The file with the very content that the training began with, where it was or where
    published files are."""
    weights = PRETRAINED[pretrained.name]
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
