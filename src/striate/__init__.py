"""Deep learning for images that people can see through."""

__version__ = "0.1.0"
