"""CIFAR-10 as arrays, for peers that are spared the decoding."""

import hashlib
import os
from pathlib import Path

import numpy as np

from benchmarks.harness import environment
from benchmarks.workers.cifar_data import files, pixels_of

__all__ = ["MissingDataError", "arrays", "find"]

_NAMES = ("cifar10-jpeg.tar", "cifar10-jpeg", "cifar10.tar", "cifar10")


class MissingDataError(RuntimeError):
    """The set is not on this machine; the text says how to name it."""


def find(given: str | None) -> Path:
    """The folder or tar of class folders under `train` and `test`.

    Raises:
        MissingDataError: there is none.
    """
    if given is not None:
        path = Path(given).expanduser()
        if path.exists():
            return path.resolve()
        raise MissingDataError(f"--data {given} does not exist.")
    folder = os.environ.get("STRIATE_DATA")
    for name in _NAMES if folder else ():
        if (path := Path(folder or "") / name).exists():
            return path.resolve()
    raise MissingDataError(
        "The part error needs CIFAR-10 as class folders under train and test (a folder or a tar): "
        "name it with --data PATH, or set STRIATE_DATA to a folder that holds "
        f"one of {', '.join(_NAMES)}."
    )


def arrays(source: Path) -> Path:
    """A folder with train.npy, test.npy (N, 32, 32, 3) and their labels, made once."""
    named = f"{source} {source.stat().st_size} {source.stat().st_mtime_ns}"
    folder = environment.place("cifar10", hashlib.sha256(named.encode()).hexdigest()[:12])
    if (folder / "whole").is_file():
        return folder
    print(f"  decoding {source} for the peers, once", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[tuple[str, np.ndarray]]] = {"train": [], "test": []}
    for split, name, data in files(source):
        found[split].append((name, pixels_of(data)))
    classes = sorted({name for name, _ in found["train"]})
    for split, items in found.items():
        labels = np.array([classes.index(name) for name, _ in items], np.int64)
        np.save(folder / f"{split}.npy", np.stack([pixels for _, pixels in items]))
        np.save(folder / f"{split}_labels.npy", labels)
    (folder / "whole").write_text("")
    return folder
