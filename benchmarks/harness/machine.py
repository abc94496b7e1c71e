"""The machine that figures were taken on: hardware, system, and how much others used it."""

import hashlib
import json
import os
import platform
import resource
from pathlib import Path
from typing import Any

__all__ = ["Neighbours", "describe", "fingerprint"]

_VECTORS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve")


def describe() -> dict[str, Any]:
    """Processor, cores, vector instructions, memory and system as JSON values."""
    information = _cpu_information()
    flags = set(information.get("flags", information.get("Features", "")).split())
    return {
        "processor": information.get("model name") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "cores": _cores(),
        "vector instructions": [name for name in _VECTORS if name in flags],
        "memory_gib": _memory_gib(),
        "system": " ".join((platform.system(), *filter(None, platform.libc_ver()))),
        "python": platform.python_version(),
    }


def fingerprint(machine: dict[str, Any]) -> str:
    """A short name for a machine; figures of two machines are never mixed."""
    parts = {key: machine[key] for key in ("processor", "architecture", "cores", "memory_gib")}
    parts["vectors"] = machine["vector instructions"]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]


def _cpu_information() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first = path.read_text("utf-8", "replace").split("\n\n")[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_gib() -> int | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)


class Neighbours:
    """The share of the machine that others used between the beginning and now.

    Processor time of all, less that of this process's finished children; Linux only.
    """

    def __init__(self) -> None:
        self._busy, self._total = _ticks()
        self._own = _own_seconds()

    def share(self) -> float | None:
        """0: nobody else; 1: others took it all. None where the system does not say."""
        busy, total = _ticks()
        if total == self._total:
            return None
        own = (_own_seconds() - self._own) * os.sysconf("SC_CLK_TCK")
        return max(0.0, min(1.0, (busy - self._busy - own) / (total - self._total)))


def _ticks() -> tuple[int, int]:
    """Clock ticks of all cores since the start: busy (stolen ones too), and all."""
    path = Path("/proc/stat")
    if not path.is_file():
        return 0, 0
    values = list(map(int, path.read_text().splitlines()[0].split()[1:9]))
    idle = values[3] + values[4]
    return sum(values) - idle, sum(values)


def _own_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
