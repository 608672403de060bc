"""Numbers as people read them: with as many digits as tell them apart."""

import math
from collections.abc import Sequence

import numpy as np


def written(values: Sequence[float], scale: float) -> list[str]:
    """Numbers with digits down to a hundredth of `scale`, or to their last one if that is 0.

    Some more digits are written where only these tell the numbers apart.
    """
    if scale == 0 or not np.isfinite([scale, *values]).all():
        return [f"{value + 0.0:.15g}" for value in values]
    last, largest = math.floor(math.log10(scale)) - 2, max(*map(abs, values), scale)
    tries = [[_to_place(value, last - more, largest) for value in values] for more in range(4)]
    return next((texts for texts in tries if len({*map(float, texts)}) == len({*values})), tries[0])


def _to_place(value: float, last: int, largest: float) -> str:
    """A number to its digit of 10**last, at least four digits; with an exponent beyond 1e-4 and 1e15."""
    size = math.floor(math.log10(abs(value))) if value else last
    plain = any(1e-4 <= each < 1e15 for each in (abs(value), largest))
    text = f"{value + 0.0:.4g}"
    if size - 3 <= last and not (plain and "e" in text):
        return text
    # float64 has no more than 16 digits.
    if not plain:
        return f"{value:.{min(15, size - last)}e}"
    text = f"{value:.{max(0, min(-last, 15 - size))}f}"
    return text.lstrip("-") if float(text) == 0 else text
