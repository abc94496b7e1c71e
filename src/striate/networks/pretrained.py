"""Published weights by the names in use, moved over into our networks."""

from pathlib import Path

import torch
from torch import Tensor, nn

from striate.errors import CheckpointError, ConfigError, unknown_name
from striate.networks.head import head_names
from striate.networks.keymap import rename
from striate.networks.weight import PRETRAINED, Weights
from striate.networks.weight_file import (
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
}
"""Other names in use -> names in `PRETRAINED`, the preferred one first."""


def weights_named(name_or_path: str | Path) -> Weights:
    """The table's entry for a name, or for a file that has an entry's file name.

    Raises:
        ConfigError: a name or file that the table does not have.
    """
    return PRETRAINED[_entries(name_or_path)[0]]


def _entries(name_or_path: str | Path) -> tuple[str, ...]:
    """The table's names for a name in use, or for a file that has a published name."""
    name = str(name_or_path)
    if name in PRETRAINED:
        return (name,)
    if name in ALIASES:
        return ALIASES[name]
    entries = (n for n, weights in PRETRAINED.items() if weights.file == Path(name).name)
    if found := tuple(entries):
        return found
    raise ConfigError(
        unknown_name("set of published weights", name, [*PRETRAINED, *ALIASES])
        + " A file is recognised by its published name; give the network's name and the path if "
        "it has another: --pretrained FILE --network NAME."
    )


def locate_weights(
    name_or_path: str | Path, network: str | None = None, progress: Progress | None = None
) -> WeightFile:
    """The file of weights by name (fetched if it is not here) or by path.

    Args:
        name_or_path: a name in `PRETRAINED` or `ALIASES`, or a file.
        network: for a file of any name, the entry whose network it fills, or the name of a
            network with entries; such a file need not have the published content.
        progress: told the bytes of a download.

    Raises:
        ConfigError: a name that is unknown, or a network that the weights do not belong to.
        CheckpointError: a file that is missing, altered, or fits no entry.
        DownloadError: a file that cannot be fetched.
    """
    named = str(name_or_path) in PRETRAINED or str(name_or_path) in ALIASES
    entries = _entries(name_or_path) if named or network is None else _entries_of(network)
    if named and network is not None and not set(entries) & set(_entries_of(network)):
        pick = PRETRAINED[entries[0]].network
        raise ConfigError(
            f"The weights {str(name_or_path)!r} belong to the network {pick}, not to "
            f"{network!r}; leave --network out."
        )
    if not named:
        path = Path(name_or_path).expanduser()
        published = read_weights(path)
        name = entries[0] if len(entries) == 1 else _fitting(entries, published, path)
        found = WeightFile.at(name, path)
        if network is None:
            found.require_published()
        return found
    here = ((name, find_weights(PRETRAINED[name])) for name in entries)
    name, known = next(((n, p) for n, p in here if p is not None), (entries[0], None))
    path = known or download_weights(PRETRAINED[name], progress)
    found = WeightFile.at(name, path)
    found.require_published()
    return found


def _entries_of(network: str) -> tuple[str, ...]:
    of_network = tuple(n for n, w in PRETRAINED.items() if w.network.name == network)
    return of_network or _entries(network)


def _fitting(entries: tuple[str, ...], published: dict[str, Tensor], path: Path) -> str:
    """The entry whose network has a place for each tensor of the file."""
    for name in entries:
        weights = PRETRAINED[name]
        with torch.device("meta"):
            network = published_network(weights, weights.num_classes)
        try:
            rename(weights.layout, published, network.state_dict(), unused=weights.unused)
        except CheckpointError:
            continue
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
        name_or_path: a name in `PRETRAINED`, or a file with a published name.
        network: the network to fill, in place; None builds the published one. Heads for
            another number of classes keep their own weights.
        path: the file, when it is not in one of the usual places.
        num_classes: build the network with a fresh head for this many classes.
        progress: told the bytes of a download.

    Example:
        >>> network = load_pretrained("resnet20", num_classes=5)  # doctest: +SKIP

    Raises:
        ConfigError: an unknown name.
        CheckpointError: a file that is refused, altered or does not fit.
        DownloadError: a file that cannot be fetched.
    """
    if path is None:
        found = locate_weights(name_or_path, progress=progress)
    else:
        read_weights(path)  # says what is wrong with a file that holds no weights
        found = WeightFile.at(_entries(name_or_path)[0], path)
        found.require_published()
    if network is None:
        network = published_network(found.weights, num_classes or found.weights.num_classes)
    classes = network.state_dict()["head.weight"].shape[0]
    return fill(network, found, fresh_head=classes != found.weights.num_classes)


def fill(network: nn.Module, found: WeightFile, *, fresh_head: bool = False) -> nn.Module:
    """The network with the file's weights, in place and in eval mode.

    Args:
        network: of the entry's kind.
        found: the file.
        fresh_head: leave the last layers as they are.

    Raises:
        CheckpointError: a file that cannot be read or does not fit.
    """
    weights = found.weights
    published = read_weights(found.path)
    own = network.state_dict()
    if weights.layout == "caffe/squeezenet":  # its channels are BGR, ours RGB
        published["conv1.weight"] = published["conv1.weight"].flip(1)
    free: tuple[str, ...] = ()
    if fresh_head:
        heads = tuple(f"{name}." for name in head_names(network))
        free = tuple(key for key in own if key.startswith(heads))
    unused = () if any(key.startswith("auxiliary") for key in own) else weights.unused
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
