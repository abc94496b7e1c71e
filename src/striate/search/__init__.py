"""Search for settings: what may vary, which to try next, and which trials to give up.

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

from striate.search.dimension import Choices, Dimension, Range
from striate.search.setting import change, spell_augmentation
from striate.search.space import Proposal, Space, default_dimensions, space_problems
from striate.search.words import DEFAULTS, read_words

__all__ = [
    "DEFAULTS",
    "Choices",
    "Dimension",
    "Proposal",
    "Range",
    "Space",
    "change",
    "default_dimensions",
    "read_words",
    "space_problems",
    "spell_augmentation",
]
