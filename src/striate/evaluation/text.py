"""Numbers as a person reads them."""


def percent(value: float) -> str:
    """A share in percent with the digits that a person reads: 0.31, 1.94, 12.3.

    Example:
        >>> percent(0.0194), percent(0.1234), percent(1.0)
        ('1.94', '12.3', '100')
    """
    hundred = 100 * value
    if hundred in (0.0, 100.0):
        return f"{hundred:.0f}"
    return f"{hundred:.2f}" if hundred < 9.995 else f"{hundred:.1f}"


def number(value: float) -> str:
    """A number with four decimals, as losses and scores are compared."""
    return f"{value:.4f}"
