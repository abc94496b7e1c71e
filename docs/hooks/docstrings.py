"""Docstrings as the reference shows them: an `Example:` is a section of doctests."""

from typing import Any

from griffe import Extension, Object


class Examples(Extension):
    """Name the section as griffe's reader of Google style does."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite the docstring of every object."""
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("Example:\n", "Examples:\n")
