"""Native CPU operators: C++ behind a plain C interface, for what torch does slowly on CPUs.

Everything works without them: where no library was built, and on devices and number types that
they do not know, the same functions call torch's own operators.
"""

from striate.kernels.library import available, isa, why_not

__all__ = ["available", "isa", "why_not"]
