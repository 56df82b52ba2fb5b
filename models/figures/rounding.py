"""Numbers as short as the eye can use them."""

import math
from collections.abc import Iterable


def rounded(value: float, digits: int = 5) -> float:
    """To so many significant digits."""
    return float(f"{value:.{digits}g}")


def column(values: Iterable[float], extent: float, digits: int = 5) -> tuple[float, ...]:
    """To so many digits of what they are seen beside, so that they stay apart far from zero too."""
    if not extent or not math.isfinite(extent):
        return tuple(rounded(each, 12) for each in values)
    decimals = digits - 1 - math.floor(math.log10(extent))
    return tuple(round(each, decimals) + 0.0 for each in values)
