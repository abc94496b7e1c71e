"""The checker of annotations while the tests run: shapes by jaxtyping, types by beartype."""

from beartype import BeartypeConf, beartype

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))
"""A whole number is accepted where a real one is annotated, as in Python's own typing."""
