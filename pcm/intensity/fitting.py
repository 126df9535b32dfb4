"""From scores at some levels to the curve that makes a wish's effect proportional to it.

Pure functions of numbers. Does not know dimensions, answers or judges.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import isotonic_regression

LEAST_SLOPE = 0.02
"""Of a score over its range, where measured ones stand still or fall: a curve must be one to one."""


def curve_of(levels: Sequence[float], scores: Sequence[float], knots: int = 9) -> tuple[float, ...]:
    """Gives the level at which each of `knots` equally spaced shares of the whole effect is reached.

    The scores are made to rise first (isotonic regression). Where asking for more changes nothing at all, a wish is
    passed on as it is.

    Args:
        levels: What the controller was asked for, rising from 0 to 1.
        scores: What the answers scored at each level.
        knots: Of the curve, at least 2.

    Raises:
        ValueError: If levels do not rise from 0 to 1, or scores are not one for each.
    """
    if len(levels) != len(scores) or (levels[0], levels[-1]) != (0, 1) or min(np.diff(levels)) <= 0:
        raise ValueError(f"levels must rise from 0 to 1 with a score each, got {list(levels)} and {list(scores)}")
    rising = np.asarray(isotonic_regression(np.asarray(scores, dtype=float)).x)
    span = float(rising[-1] - rising[0])
    shares = np.linspace(0, 1, knots)
    if span <= 0:
        return tuple(shares.tolist())
    effect = (1 - LEAST_SLOPE) * (rising - rising[0]) / span + LEAST_SLOPE * np.asarray(levels)
    found = np.interp(shares, effect, levels)
    return tuple(round(float(level), 6) for level in found)
