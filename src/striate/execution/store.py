"""Choices that were measured before, kept by machine: what is remembered is not measured again.

A file is the answer to one question (a machine, a network, a shape, what was asked for). It can
be deleted at any time; one that cannot be read is told once, ignored and written anew.
"""

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from striate import durable, kernels, places

_FORMAT = 1


@cache
def _processor() -> str:
    """The processor's model, as the system names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine(device: torch.device) -> dict[str, Any]:
    """The machine as far as speed depends on it: hardware, threads, versions."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "processor": _processor(),
        "vector unit": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": name,
        "torch": torch.__version__,
        "striate": version("striate"),
        "kernels": kernels.isa() if kernels.available() else None,
    }


class Store:
    """Answers by question, as JSON files in the cache folder.

    Args:
        folder: None: `execution` in the cache folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = places.cache_dir() / "execution" if folder is None else folder
        self.notes: list[str] = []
        """Sentences about files that could not be read or written."""

    def read(self, question: Mapping[str, Any]) -> dict[str, Any] | None:
        """The answer kept for a question; None where there is none that can be used."""
        path = self._path(question)
        try:
            kept = json.loads(path.read_text("utf-8"))
            if kept["format"] == _FORMAT and kept["question"] == _plain(question):
                answer: dict[str, Any] = dict(kept["answer"])
                return answer
            return None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.notes.append(
                f"{path} cannot be read ({type(error).__name__}); what it held is measured again."
            )
            return None

    def write(self, question: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Keep an answer; if the folder cannot be written, only time is lost, and it is noted."""
        content = {"format": _FORMAT, "question": _plain(question), "answer": dict(answer)}
        try:
            durable.write_json(self._path(question), content)
        except OSError as error:
            self.notes.append(f"{self.folder} cannot be written ({error}); nothing is remembered.")

    def _path(self, question: Mapping[str, Any]) -> Path:
        canonical = json.dumps(_plain(question), sort_keys=True)
        return self.folder / f"{hashlib.sha256(canonical.encode()).hexdigest()[:20]}.json"


def _plain(value: Mapping[str, Any]) -> Any:
    """As it comes back from JSON: lists for tuples, names for keys."""
    return json.loads(json.dumps(value))
