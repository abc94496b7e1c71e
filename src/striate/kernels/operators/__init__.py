"""Torch operators over the native library, one file per family."""
