"""Folders for files outside runs: decoded images, downloads, ledgers.

`$STRIATE_CACHE` (default: the user's cache folder) may be cleared at any time.
`$STRIATE_HOME` (default: the user's data folder) holds the ledgers of test openings and must not.
`$STRIATE_DATA` names a folder of data sets that are on this machine already.
"""

import os
import sys
from pathlib import Path

from striate.errors import ConfigError


def expanded(path: str | Path) -> Path:
    """A path with the folder that `~` or `~user` at its beginning stands for.

    Raises:
        ConfigError: nobody knows that folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(
            f"{path}: no home folder is known for its beginning. Write the path without ~."
        ) from None


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        raise ConfigError(
            "No home folder of this user is known. Set $STRIATE_CACHE, for decoded images, and "
            "$STRIATE_HOME, for the ledger of test openings, to folders that can be written."
        ) from None


def _user_dir(variable: str, macos: str, fallback: str) -> Path:
    if sys.platform == "darwin":
        return _home() / "Library" / macos / "striate"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or _home()) / "striate" / macos
    return Path(os.environ.get(variable) or _home() / fallback) / "striate"


def cache_dir() -> Path:
    """The folder for what can be made again."""
    named = os.environ.get("STRIATE_CACHE")
    return expanded(named) if named else _user_dir("XDG_CACHE_HOME", "Caches", ".cache")


def home_dir() -> Path:
    """The folder for what must be kept."""
    named = os.environ.get("STRIATE_HOME")
    if named:
        return expanded(named)
    return _user_dir("XDG_DATA_HOME", "Application Support", ".local/share")


def data_dir() -> Path | None:
    """The folder of data sets named by `$STRIATE_DATA`, or None."""
    named = os.environ.get("STRIATE_DATA")
    return expanded(named) if named else None
