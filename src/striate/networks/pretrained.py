"""Published weights: what there is, where it is, how its images are prepared.

A file is looked for under its name in `$STRIATE_DATA/weights` and in the cache folder, and
downloaded from its official place otherwise. Pickles are read with `weights_only=True`: tensors
come in, code does not run.
"""

import hashlib
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from striate.errors import CheckpointError, ConfigError, DownloadError, unknown_name
from striate.networks.head import head_names
from striate.networks.keymap import rename
from striate.networks.weight import PRETRAINED, Weights
from striate.places import cache_dir, data_dir
from striate.registry import Pick

__all__ = [
    "ALIASES",
    "WeightFile",
    "fill",
    "find_weights",
    "load_pretrained",
    "locate_weights",
    "published_network",
    "read_weights",
    "trainable_pick",
    "weights_named",
]

Progress = Callable[[str, int, int], None]
"""Told what is done (a sentence), how much is done and of how much."""

ALIASES: dict[str, tuple[str, ...]] = {
    **{f"resnet{depth}-cifar10": (f"resnet{depth}",) for depth in (20, 32, 44, 56, 110)},
    # one network, published from two trainings: the file that is on this machine is taken
    "squeezenet1_0": ("squeezenet", "squeezenet_caffe"),
}
"""Other names in use -> names in `PRETRAINED`, the preferred one first."""


@dataclass(frozen=True)
class WeightFile:
    """Published weights, or others for the same network, in a file on this machine."""

    name: str
    """The entry of `PRETRAINED` that says what the tensors are."""
    path: Path
    sha256: str
    """Of the file's content."""

    @classmethod
    def at(cls, name: str, path: Path) -> "WeightFile":
        """The file at a path, its content digested."""
        with open(path, "rb") as stream:
            return cls(name, path.resolve(), hashlib.file_digest(stream, "sha256").hexdigest())

    @property
    def weights(self) -> Weights:
        return PRETRAINED[self.name]

    @property
    def is_published(self) -> bool:
        """Whether the content is the published one."""
        return self.sha256.startswith(self.weights.sha256)


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
            _require_published(found)
        return found
    here = ((name, find_weights(PRETRAINED[name])) for name in entries)
    name, known = next(((n, p) for n, p in here if p is not None), (entries[0], None))
    path = known or _download(PRETRAINED[name], progress)
    found = WeightFile.at(name, path)
    _require_published(found)
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


def find_weights(weights: Weights) -> Path | None:
    """The file of published weights on this machine, or None."""
    folder = data_dir()
    candidates = [cache_dir() / "weights" / weights.file]
    if folder is not None:
        candidates = [folder / "weights" / weights.file, folder / weights.file, *candidates]
    return next((path for path in candidates if path.is_file()), None)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors, .pt, .pth or .th file, as float32 on the CPU.

    Wrappers (`state_dict`, `model`, a `module.` before each name) are taken off.

    Raises:
        CheckpointError: a file that is missing, broken, or holds more than tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}.")
    try:
        if path.suffix == ".safetensors":
            content: object = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path.name} was refused: it is a pickle that holds more than tensors, and reading "
            "it could run code. Save its state dict alone (torch.save(network.state_dict(), ...) "
            "or safetensors.torch.save_file) where you trust it, then load that."
        ) from error
    except Exception as error:
        raise CheckpointError(
            f"{path.name} cannot be read ({error}); accepted: .safetensors, and .pt, .pth or .th "
            "files of torch.save."
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(
        isinstance(tensor, Tensor) for tensor in content.values()
    ):
        raise CheckpointError(f"{path.name} does not hold a state dict: names and tensors.")
    return {
        str(key).removeprefix("module."): tensor.float() if tensor.is_floating_point() else tensor
        for key, tensor in content.items()
    }


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
        _require_published(found)
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


def _require_published(found: WeightFile) -> None:
    if not found.is_published:
        raise CheckpointError(
            f"{found.path} is not the published file: its SHA-256 begins with "
            f"{found.sha256[:8]}, the published one with {found.weights.sha256[:8]}. Delete it "
            f"and fetch it again; or, where its weights are meant, say so: --pretrained FILE "
            f"--network {found.name}"
        )


def _download(weights: Weights, progress: Progress | None) -> Path:
    from striate.data.download import RemoteFile, download  # here: most loads fetch nothing

    folder = cache_dir() / "weights"
    if weights.url is None:
        raise ConfigError(
            f"{weights.file} is not published in this form and cannot be downloaded; put it into "
            f"{folder} or into $STRIATE_DATA/weights, or give its path."
        )
    folder.mkdir(parents=True, exist_ok=True)
    file = RemoteFile(weights.file, weights.url, None, sha256=weights.sha256)
    try:
        return download(
            file, folder, f"downloading {weights.file} (licence: {weights.licence})", progress
        )
    except OSError as error:
        raise DownloadError(
            f"{weights.file} cannot be kept in {folder}: {error}. Make room, or set STRIATE_CACHE "
            "to a folder on a larger disk."
        ) from error
