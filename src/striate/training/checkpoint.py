"""Checkpoints: one safetensors file each, with the JSON state in its header.

A checkpoint is written under a temporary name, flushed and renamed, so that it is whole or
absent; the previous one is kept until the new one is safe on the disk. A digest over all
tensors detects a damaged file; reading never runs code.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from striate.digests import digest_of_bytes
from striate.durable import safetensors_metadata, sync_folder, write_bytes
from striate.errors import CheckpointError
from striate.reading import read_bytes, reported_as

Tensors = dict[str, Tensor]
State = dict[str, Any]


def flatten(prefix: str, value: Any, tensors: Tensors) -> Any:
    """Nested state with its tensors moved to `tensors`; the rest is JSON.

    A tensor becomes {"tensor": its key}, a dictionary {"items": [[key, value], ...]}, so that
    whole-number keys, as in an optimiser's state, survive JSON.
    """
    if isinstance(value, Tensor):
        tensors[prefix] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": prefix}
    if isinstance(value, dict):
        pairs = [[key, flatten(f"{prefix}.{key}", item, tensors)] for key, item in value.items()]
        return {"items": pairs}
    if isinstance(value, (list, tuple)):
        return [flatten(f"{prefix}.{i}", item, tensors) for i, item in enumerate(value)]
    return value


def unflatten(value: Any, tensors: Tensors) -> Any:
    """The nested state that `flatten` took apart."""
    if isinstance(value, dict) and "tensor" in value:
        return tensors[value["tensor"]]
    if isinstance(value, dict):
        return {key: unflatten(item, tensors) for key, item in value["items"]}
    if isinstance(value, list):
        return [unflatten(item, tensors) for item in value]
    return value


def _digest(tensors: Tensors) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write_checkpoint(path: Path, tensors: Tensors, state: State) -> None:
    """Write tensors and JSON state to one file, whole or not at all.

    Raises:
        StorageError: the disk is full or refuses; what was there before is untouched.
    """
    text = json.dumps({**state, "digest": _digest(tensors)}, allow_nan=False)
    metadata = {"state": text, "state digest": digest_of_bytes(text.encode())}
    write_bytes(path, save(tensors, metadata))


def read_checkpoint(path: Path) -> tuple[Tensors, State]:
    """Tensors and state of a checkpoint.

    Raises:
        CheckpointError: the file is missing, not a checkpoint, cut or damaged.
    """
    with reported_as(CheckpointError, f"{path} is not a whole checkpoint"):
        content = read_bytes(path)
        tensors, metadata = load(content), safetensors_metadata(content)
        text = metadata["state"]
        state = json.loads(text)
        digest = state.pop("digest")
    if digest != _digest(tensors):
        raise CheckpointError(f"{path} is damaged: its tensors do not match their digest.")
    # Checkpoints of earlier versions kept no digest of their state.
    of_state = digest_of_bytes(text.encode())
    if metadata.get("state digest", of_state) != of_state:
        raise CheckpointError(f"{path} is damaged: its state does not match its digest.")
    return tensors, state


class CheckpointStore:
    """The checkpoints of one run: the newest two on schedule, and the one of a stop.

    Checkpoints on schedule are written at fixed steps; going back after a divergence uses these
    alone, so that it does not depend on when a person stopped the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _paths(self, kind: str) -> list[tuple[int, Path]]:
        """Steps and paths of one kind ("step" or "stop"), rising."""
        pattern = re.compile(rf"{kind}-(\d+)\.safetensors")
        paths = self._folder.iterdir() if self._folder.is_dir() else []
        return sorted((int(m[1]), p) for p in paths if (m := pattern.fullmatch(p.name)))

    @property
    def is_empty(self) -> bool:
        """Whether no checkpoint was ever finished."""
        return not (self._paths("step") or self._paths("stop"))

    def write(self, step: int, tensors: Tensors, state: State, *, stopping: bool = False) -> Path:
        """Write a checkpoint; once it is safe, older ones that are no longer needed go."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for leftover in self._folder.glob(".*.partial"):
            leftover.unlink(missing_ok=True)
        kind = "stop" if stopping else "step"
        path = self._folder / f"{kind}-{step:09d}.safetensors"
        write_checkpoint(path, tensors, state)
        stale = self._paths("stop")[: -1 if stopping else None]
        for _, old in [*self._paths("step")[:-2], *stale]:
            old.unlink(missing_ok=True)
        sync_folder(self._folder)
        return path

    def read_newest(self, *, scheduled_only: bool = False) -> tuple[Tensors, State, list[str]]:
        """The newest whole checkpoint, and a sentence for each damaged one passed over.

        Raises:
            CheckpointError: none is whole.
        """
        paths = self._paths("step") + ([] if scheduled_only else self._paths("stop"))
        notes: list[str] = []
        for _, path in sorted(paths, reverse=True):
            try:
                tensors, state = read_checkpoint(path)
            except CheckpointError as error:
                notes.append(f"{error} The one before it is used.")
                continue
            return tensors, state, notes
        raise CheckpointError(
            "\n".join([*notes, f"There is no whole checkpoint in {self._folder}."])
        )
