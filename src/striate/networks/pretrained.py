"""Published weights: what there is, where it is, how its images are prepared.

A file is looked for under its name in `$STRIATE_DATA/weights` and in the cache folder, and
downloaded from its official place otherwise. Pickles are read with `weights_only=True`: tensors
come in, code does not run.
"""

import hashlib
import http.client
import pickle
import sys
from collections.abc import Mapping
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

__all__ = ["find_weights", "load_pretrained", "read_weights", "weights_named"]


def weights_named(name_or_path: str | Path) -> Weights:
    """The table's entry for a name, or for a file that has an entry's file name.

    Raises:
        ConfigError: a name or file that the table does not have.
    """
    if str(name_or_path) in PRETRAINED:
        return PRETRAINED[str(name_or_path)]
    for weights in PRETRAINED.values():
        if weights.file == Path(name_or_path).name:
            return weights
    raise ConfigError(
        unknown_name("set of published weights", str(name_or_path), PRETRAINED)
        + " A file is recognised by its published name; give the name and the path if it has "
        "another."
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
) -> nn.Module:
    """The network with published weights, in eval mode.

    Args:
        name_or_path: a name in `PRETRAINED`, or a file with a published name.
        network: the network to fill, in place; None builds the published one. Heads for
            another number of classes keep their own weights.
        path: the file, when it is not in one of the usual places.
        num_classes: build the network with a fresh head for this many classes.

    Example:
        >>> network = load_pretrained("resnet20", num_classes=5)  # doctest: +SKIP

    Raises:
        ConfigError: an unknown name.
        CheckpointError: a file that is refused, altered or does not fit.
        DownloadError: a file that cannot be fetched.
    """
    weights = weights_named(name_or_path)
    if path is None and str(name_or_path) not in PRETRAINED:
        path = Path(name_or_path)
    path = path or find_weights(weights) or _download(weights)
    published = read_weights(path)
    _check_digest(path, weights)
    if network is None:
        network = _build(weights, num_classes or weights.num_classes)
    own = network.state_dict()
    if weights.layout == "caffe/squeezenet":  # its channels are BGR, ours RGB
        published["conv1.weight"] = published["conv1.weight"].flip(1)
    free: tuple[str, ...] = ()
    if own["head.weight"].shape[0] != weights.num_classes:
        heads = tuple(f"{name}." for name in head_names(network))
        free = tuple(key for key in own if key.startswith(heads))
    unused = () if any(key.startswith("auxiliary") for key in own) else weights.unused
    network.load_state_dict(rename(weights.layout, published, own, free=free, unused=unused))
    return network.eval()


def _build(weights: Weights, num_classes: int) -> nn.Module:
    from striate.networks import NETWORKS  # here: the table itself imports this package

    pick = weights.network
    if num_classes != weights.num_classes:  # a fresh head must not be clipped: classes would die
        kept = {key: value for key, value in pick.arguments.items() if key != "final_relu"}
        pick = Pick(pick.name, **kept)
    return NETWORKS.build(pick, num_classes=num_classes, in_channels=3)


def _check_digest(path: Path, weights: Weights) -> None:
    with open(path, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if not digest.startswith(weights.sha256):
        raise CheckpointError(
            f"{path} is not the published file: its SHA-256 begins with {digest[:8]}, the "
            f"published one with {weights.sha256[:8]}. Delete it and fetch it again."
        )


def _download(weights: Weights) -> Path:
    folder = cache_dir() / "weights"
    if weights.url is None:
        raise ConfigError(
            f"{weights.file} is not published in this form and cannot be downloaded; put it into "
            f"{folder} or into $STRIATE_DATA/weights, or give its path."
        )
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / weights.file
    try:  # into a temporary file, renamed when its SHA-256 begins as published
        torch.hub.download_url_to_file(
            weights.url, str(target), hash_prefix=weights.sha256, progress=sys.stderr.isatty()
        )
    except (OSError, http.client.HTTPException, RuntimeError) as error:
        raise DownloadError(
            f"{weights.url} could not be fetched: {error}. Check the network and repeat, or put "
            f"the file into {folder} or into $STRIATE_DATA/weights."
        ) from error
    return target
