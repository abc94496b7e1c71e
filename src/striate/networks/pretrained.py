"""Published weights by the names in use, moved over into our networks."""

import shlex
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from striate.errors import CheckpointError, ConfigError, unknown_name
from striate.folders import expanded
from striate.networks.head import head_names
from striate.networks.keymap import rename
from striate.networks.weight import PRETRAINED, Weights
from striate.networks.weight_file import (
    SUFFIXES,
    Progress,
    WeightFile,
    download_weights,
    find_weights,
    read_weights,
)
from striate.registry import Pick

ALIASES: dict[str, tuple[str, ...]] = {
    **{f"resnet{depth}-cifar10": (f"resnet{depth}",) for depth in (20, 32, 44, 56, 110)},
    # one network, published from two trainings: the file that is on this machine is taken
    "squeezenet1_0": ("squeezenet", "squeezenet_caffe"),
    # the same tensors, in the Python package and as a file of tensors
    "efficientnet_lite0": ("efficientnet", "efficientnet_tensors"),
}
"""Other names in use -> names in `PRETRAINED`, the preferred one first."""


def entry_names(name_or_path: str | Path) -> tuple[str, ...]:
    """The table's names for a name in use, or for a file that has a published name.

    Raises:
        ConfigError: a name or file that the table does not have, or no such file.
    """
    name = str(name_or_path)
    if name in PRETRAINED:
        return (name,)
    if name in ALIASES:
        return ALIASES[name]
    if names := tuple(n for n, entry in PRETRAINED.items() if entry.file == Path(name).name):
        return names
    path = Path(name).expanduser()
    if path.is_file():
        raise ConfigError(
            f"A file is recognised by its published name, and {name} has another. Name its "
            f"network, too: --pretrained {shlex.quote(name)} --network NAME"
        )
    if path.is_dir():
        raise ConfigError(
            f"{name} is a folder, but not of a run: it has no run.json. Give the folder of a "
            "finished run, a file of weights, or a name."
        )
    if path.suffix in SUFFIXES or len(path.parts) > 1:
        raise ConfigError(f"There is no file {name}. Give the path of a file, or a name.")
    raise ConfigError(
        unknown_name("set of published weights", name, [*PRETRAINED, *ALIASES])
        + " A file of any name is taken with that of its network: --pretrained FILE --network NAME."
    )


def locate_weights(
    name_or_path: str | Path, network: str | None = None, progress: Progress | None = None
) -> WeightFile:
    """The file of weights by name (fetched if it is not here) or by path.

    Args:
        name_or_path: Name in `PRETRAINED` or `ALIASES`, or a file.
        network: Entry whose network a file of any name fills, or the name of a network with
            entries; such a file need not have the published content.
        progress: Receives the bytes of a download.

    Raises:
        ConfigError: a name that is unknown, or a network that the weights do not belong to.
        CheckpointError: a file that is missing, altered, or fits no entry.
        DownloadError: a file that cannot be fetched.
    """
    named = str(name_or_path) in PRETRAINED or str(name_or_path) in ALIASES
    entries = entry_names(name_or_path) if named or network is None else _entries_of(network)
    if named and network is not None and not set(entries) & set(_entries_of(network)):
        pick = PRETRAINED[entries[0]].network
        raise ConfigError(
            f"The weights {str(name_or_path)!r} belong to the network {pick}, not to "
            f"{network!r}; leave --network out."
        )
    if not named:
        path = expanded(name_or_path)
        published = read_weights(path)
        name = entries[0] if len(entries) == 1 else _fitting(entries, published, path)
    else:
        here = ((name, find_weights(PRETRAINED[name])) for name in entries)
        name, known = next(((n, p) for n, p in here if p is not None), (entries[0], None))
        path = known or download_weights(PRETRAINED[name], progress)
    file = WeightFile.at(name, path)
    if named or network is None:
        file.require_published()
    return file


def _entries_of(network: str) -> tuple[str, ...]:
    of_network = tuple(n for n, w in PRETRAINED.items() if w.network.name == network)
    return of_network or entry_names(network)


def _fitting(entries: tuple[str, ...], published: dict[str, Tensor], path: Path) -> str:
    """The entry whose network takes each tensor of the file."""
    for name in entries:
        weights = PRETRAINED[name]
        with torch.device("meta"):
            network = published_network(weights, weights.num_classes)
        with suppress(CheckpointError):
            rename(weights.layout, published, network.state_dict(), unused=weights.unused)
            return name
    raise CheckpointError(
        f"{path} fits none of {', '.join(entries)}: names or shapes of its tensors differ. Name "
        "one of them with --network to see what differs."
    )


def load_pretrained(
    name_or_path: str | Path,
    network: nn.Module | None = None,
    *,
    path: Path | None = None,
    num_classes: int | None = None,
    progress: Progress | None = None,
) -> nn.Module:
    """The network with published weights, in eval mode.

    Args:
        name_or_path: Name in `PRETRAINED`, or a file with a published name.
        network: Network to fill, in place; None builds the published one. Heads for another
            number of classes keep their own weights.
        path: File, when it is not in one of the usual folders.
        num_classes: Number of classes of a fresh head.
        progress: Receives the bytes of a download.

    Example:
        >>> network = load_pretrained("resnet20", num_classes=5)  # doctest: +SKIP

    Raises:
        ConfigError: an unknown name.
        CheckpointError: a file that is refused, altered or does not fit.
        DownloadError: a file that cannot be fetched.
    """
    if path is None:
        file = locate_weights(name_or_path, progress=progress)
    else:
        read_weights(path)  # reports a file that holds no weights
        file = WeightFile.at(entry_names(name_or_path)[0], path)
        file.require_published()
    if network is None:
        network = published_network(file.weights, num_classes or file.weights.num_classes)
    classes = network.state_dict()["head.weight"].shape[0]
    return fill(network, file, fresh_head=classes != file.weights.num_classes)


def fill(
    network: nn.Module, file: WeightFile, *, fresh_head: bool = False, partly: bool = False
) -> nn.Module:
    """The network with the file's weights, in place and in eval mode.

    Args:
        network: Network of the entry's kind.
        file: File of weights.
        fresh_head: Leave the last layers as they are.
        partly: The network is the entry's without its last layers.

    Raises:
        CheckpointError: a file that cannot be read or does not fit.
    """
    weights = file.weights
    published = read_weights(file.path)
    own = network.state_dict()
    first = published.get("conv1.weight")
    if weights.layout == "caffe/squeezenet" and first is not None and first.ndim > 1:
        published["conv1.weight"] = first.flip(1)  # its channels are BGR, ours RGB
    free: tuple[str, ...] = ()
    if fresh_head:
        heads = tuple(f"{name}." for name in head_names(network))
        free = tuple(key for key in own if key.startswith(heads))
    unused = () if any(key.startswith("auxiliary") for key in own) else weights.unused
    unused = ("",) if partly else unused  # each name begins with nothing
    network.load_state_dict(rename(weights.layout, published, own, free=free, unused=unused))
    return network.eval()


def published_network(weights: Weights, num_classes: int) -> nn.Module:
    """The network that weights belong to, with any number of classes and no weights yet."""
    from striate.networks import NETWORKS  # here: the table itself imports this package

    fresh = num_classes != weights.num_classes
    pick = trainable_pick(weights) if fresh else weights.network
    return NETWORKS.build(pick, num_classes=num_classes, in_channels=3)


def trainable_pick(weights: Weights) -> Pick:
    """The network for a fresh head: its maps must not be clipped, or classes would die."""
    pick = weights.network
    kept = {key: value for key, value in pick.arguments.items() if key != "final_relu"}
    return Pick(pick.name, **kept)
