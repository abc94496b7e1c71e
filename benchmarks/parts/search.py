"""The best settings of one peer on one network: toggles tried one after another, kept if faster."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness.process import FailureError

__all__ = ["Setting", "best_setting", "toggles"]

Setting = dict[str, dict[str, Any]]
"""`asked` goes into the worker's argument, `variables` into its environment."""

_LIBRARIES = tuple(
    Path("/", *parts)
    for parts in (
        ("usr", "lib", "x86_64-linux-gnu"),
        ("usr", "lib", "aarch64-linux-gnu"),
        ("usr", "lib64"),
        ("usr", "local", "lib"),
    )
)

_WORTH = 1.01
"""A toggle must gain this much to be kept: less is noise."""


def toggles(peer: str, *, little_work: bool) -> list[tuple[str, Setting]]:
    """What may make a peer faster on a machine, by name.

    Args:
        peer: name of a trainer.
        little_work: the network is so small that one thread may beat several.
    """
    variables: list[tuple[str, dict[str, Any]]] = [
        ("threads sleep", {"OMP_WAIT_POLICY": "PASSIVE"}),
        ("threads spin", {"OMP_WAIT_POLICY": "ACTIVE"}),
        ("huge pages", {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}),
    ]
    variables += [(path.name, {"LD_PRELOAD": str(path)}) for path in _allocators()]
    tried: list[tuple[str, Setting]] = [(name, {"variables": v}) for name, v in variables]
    if peer != "striate":  # which chooses these by itself
        asked: list[tuple[str, dict[str, Any]]] = [
            ("channels first", {"layout": "nchw"}),
            ("pages handed back", {"keep_pages": False}),
            ("optimiser not fused", {"fused": False}),
        ]
        if little_work:
            asked.append(("one thread", {"threads": 1}))
        tried += [(name, {"asked": a}) for name, a in asked]
    return tried


def _allocators() -> list[Path]:
    """The memory allocators that people preload to make PyTorch faster, where they are there."""
    found = []
    for pattern in ("libtcmalloc_minimal.so*", "libjemalloc.so*"):
        paths = [path for folder in _LIBRARIES for path in sorted(folder.glob(pattern))]
        found += paths[:1]
    return found


def best_setting(
    speed: Callable[[Setting], float], tried: list[tuple[str, Setting]]
) -> dict[str, Any]:
    """The fastest setting found, with all that was tried.

    Args:
        speed: images a second under a setting; raises `FailureError`.
        tried: toggles in their order.

    Raises:
        FailureError: the peer fails without any toggle.
    """
    best: Setting = {"asked": {}, "variables": {}}
    fastest = speed(best)
    log = [{"toggle": "none", "images_per_second": round(fastest, 1)}]
    for name, toggle in tried:
        setting = {kind: {**best[kind], **toggle.get(kind, {})} for kind in best}
        try:
            found = speed(setting)
        except FailureError as reason:
            log.append({"toggle": name, "error": str(reason)})
            continue
        kept = found > _WORTH * fastest
        log.append({"toggle": name, "images_per_second": round(found, 1), "kept": kept})
        if kept:
            best, fastest = setting, found
    return {**best, "tried": log}
