"""The decoded images on the disk: what lies there, and clearing it."""

from striate.data import clear_cache, list_cache

__all__ = ["clear_cache", "list_cache"]
