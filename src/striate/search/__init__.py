"""Search for settings: what may vary, which to try next, and which trials to stop early.

`Space` proposes configurations, `Storage` holds the trials of all processes that work on one
search, a `Trial` is one of them in the hands of this process.
"""

from striate.errors import ConfigError

try:
    import optuna  # noqa: F401
except ModuleNotFoundError as missing:
    raise ConfigError(
        "A search needs optuna, which is not installed; type: pip install 'striate[search]'"
    ) from missing

from striate.search.dimension import Dimension
from striate.search.setting import change
from striate.search.space import Space
from striate.search.specification import read_dimensions

__all__ = ["Dimension", "Space", "change", "read_dimensions"]
