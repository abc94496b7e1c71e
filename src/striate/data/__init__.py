"""Data: from a path or a name to arrays.

A source (folder, archive, list, named set) is surveyed, split by content, decoded once into a
cache on the disk, and divided into a training, a validation and a sealed test split.
"""

from striate.data.augment import AUGMENTATIONS
from striate.data.cache import CacheEntry, clear_cache, list_cache
from striate.data.dataset import BrokenFile, Dataset, prepare, refuse_leaks
from striate.data.decode import ImageSpec, decode_image
from striate.data.loader import BatchLoader, Normalisation
from striate.data.locate import open_source
from striate.data.named import NAMED_SETS
from striate.data.part import ImageSet
from striate.data.picture import BrokenImage
from striate.data.seal import SealedSplit
from striate.data.source import Item, Source
from striate.data.survey import Survey, survey

__all__ = [
    "AUGMENTATIONS",
    "NAMED_SETS",
    "BatchLoader",
    "BrokenFile",
    "BrokenImage",
    "CacheEntry",
    "Dataset",
    "ImageSet",
    "ImageSpec",
    "Item",
    "Normalisation",
    "SealedSplit",
    "Source",
    "Survey",
    "clear_cache",
    "decode_image",
    "list_cache",
    "open_source",
    "prepare",
    "refuse_leaks",
    "survey",
]
