"""From timed rounds to numbers: medians, spreads, and ratios that drift cannot bend.

Pure functions of numbers; knows nothing of what was timed.
"""

from collections.abc import Sequence

import numpy


def median(values: Sequence[float]) -> float:
    """Gives the middle of some values.

    Raises:
        ValueError: If there is none.
    """
    _require_some(values)
    return float(numpy.median(values))


def spread(values: Sequence[float]) -> float:
    """Gives the distance between the quartiles, in the values' own unit.

    Raises:
        ValueError: If there is no value.
    """
    _require_some(values)
    low, high = numpy.quantile(values, [0.25, 0.75])
    return float(high - low)


def paired_ratio(values: Sequence[float], others: Sequence[float]) -> float:
    """Gives the median of the rounds' ratios `values / others`: what slowed a whole round down divides out.

    Args:
        values: One for each round.
        others: The same rounds, none of them zero; rounds that only one of both has do not count.

    Raises:
        ValueError: If there is no common round.
    """
    return median([value / other for value, other in zip(values, others, strict=False)])


def _require_some(values: Sequence[float]) -> None:
    """Refuses nothing at all."""
    if not len(values):
        raise ValueError("there must be at least one round, got none")
