"""A peer's own environment: its pins installed once into `.bench/envs`, then reused.

A peer whose pins cannot be installed is absent, and the reason goes into the results.
"""

import hashlib
import platform
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["PEERS", "ROOT", "AbsentError", "begin_cache", "cache", "interpreter", "names", "place"]

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "benchmarks" / "peers"
_LIMIT = 900.0
_LAST_WORDS = 400
_refused: dict[str, str] = {}
_caches = {"name": "cache"}


class AbsentError(RuntimeError):
    """A peer that is not there; the text says why."""


def place(*parts: str) -> Path:
    """A path in the folder of what benchmarks make for themselves, which git ignores."""
    return ROOT.joinpath(".bench", *parts)


def begin_cache(*, quick: bool, fresh: bool) -> None:
    """Choose Striate's cache: decoded sets, and which operators were measured to be fastest.

    Quick runs have one of their own, because what is measured in them may be wrong; `fresh`
    forgets the old one.
    """
    _caches["name"] = "quick-cache" if quick else "cache"
    if fresh:
        for folder in place().glob(f"{_caches['name']}*"):
            shutil.rmtree(folder, ignore_errors=True)


def cache(isa: str | None = None) -> Path:
    """Striate's cache in these benchmarks, one for each limit on the instruction set."""
    return place(_caches["name"] + (f"-{isa}" if isa else ""))


def names() -> list[str]:
    """Environments that have pins."""
    return sorted(path.stem for path in PEERS.glob("*.txt"))


def interpreter(name: str | None) -> Path:
    """The Python of an environment, made first if need be; None is Striate's own.

    Raises:
        AbsentError: its pins cannot be installed here.
    """
    if name is None:
        return Path(sys.executable)
    if name in _refused:
        raise AbsentError(_refused[name])
    folder = place("envs", name)
    windows = platform.system() == "Windows"
    python = folder / ("Scripts/python.exe" if windows else "bin/python")
    pins = PEERS / f"{name}.txt"
    if not pins.is_file():
        raise AbsentError(f"{pins} is missing")
    wanted = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()
    mark = folder / ".pins"
    if python.exists() and mark.is_file() and mark.read_text() == wanted:
        return python
    print(f"  {name}: installing {pins.name} into {folder} ...", flush=True)
    try:
        _install(folder, python, pins)
    except AbsentError as reason:
        _refused[name] = str(reason)
        raise
    mark.write_text(wanted)
    return python


def _install(folder: Path, python: Path, pins: Path) -> None:
    if not python.exists():
        shutil.rmtree(folder, ignore_errors=True)
        _call([sys.executable, "-m", "venv", str(folder)])
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _call([*pip, "--requirement", str(pins)])


def _call(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_LIMIT, check=False, errors="replace"
        )
    except subprocess.TimeoutExpired:
        raise AbsentError(f"did not install within {_LIMIT:.0f} s") from None
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip())[-_LAST_WORDS:]
        raise AbsentError(f"does not install: {words}")
