"""Folders for files outside runs: decoded images, downloads, ledgers.

`$STRIATE_CACHE` (default: the user's cache folder) may be cleared at any time.
`$STRIATE_HOME` (default: the user's data folder) holds the ledgers of test openings and must not.
`$STRIATE_DATA` names a folder of data sets that are on this machine already.
"""

import os
import sys
from pathlib import Path


def _user_dir(variable: str, macos: str, fallback: str) -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / macos / "striate"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "striate" / macos
    return Path(os.environ.get(variable) or Path.home() / fallback) / "striate"


def cache_dir() -> Path:
    """The folder for what can be made again."""
    named = os.environ.get("STRIATE_CACHE")
    return Path(named).expanduser() if named else _user_dir("XDG_CACHE_HOME", "Caches", ".cache")


def home_dir() -> Path:
    """The folder for what must be kept."""
    named = os.environ.get("STRIATE_HOME")
    if named:
        return Path(named).expanduser()
    return _user_dir("XDG_DATA_HOME", "Application Support", ".local/share")


def data_dir() -> Path | None:
    """The folder of data sets named by `$STRIATE_DATA`, or None."""
    named = os.environ.get("STRIATE_DATA")
    return Path(named).expanduser() if named else None
