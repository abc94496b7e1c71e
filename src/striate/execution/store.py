"""Choices that were measured before, kept by machine: what is remembered is not measured again.

A file has the result for one question (a machine, a network, a shape, settings). It can be deleted
at any time; one that cannot be read is reported, ignored and written anew.
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

from striate import durable, folders, kernels
from striate.reading import read_json

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


def read(question: Mapping[str, Any], notes: list[str]) -> dict[str, Any] | None:
    """The result kept for a question; None where there is none that can be used.

    Args:
        question: JSON values that the result depends on.
        notes: Gets a sentence about a file that cannot be read.
    """
    path = _path(question)
    try:
        kept = read_json(path)
        if kept["format"] == _FORMAT and kept["question"] == _plain(question):
            return dict(kept["answer"])
    except FileNotFoundError:
        pass
    except Exception as error:  # a damaged file can fail with nearly any
        notes.append(
            f"{path} cannot be read ({type(error).__name__}); what it held is measured again."
        )
    return None


def write(question: Mapping[str, Any], result: Mapping[str, Any], notes: list[str]) -> None:
    """Keep a result; if the folder cannot be written, only time is lost, and it is noted."""
    path = _path(question)
    try:
        content = {"format": _FORMAT, "question": _plain(question), "answer": dict(result)}
        durable.write_json(path, content)
    except OSError as error:
        notes.append(f"{path.parent} cannot be written ({error}); nothing is remembered.")


def _path(question: Mapping[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(_plain(question), sort_keys=True).encode()).hexdigest()
    return folders.cache_dir() / "execution" / f"{digest[:20]}.json"


def _plain(value: Mapping[str, Any]) -> Any:
    """The value as it comes back from JSON: lists for tuples, names for keys."""
    return json.loads(json.dumps(value))
