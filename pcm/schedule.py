"""How fast a controller learns over the iterations.

Knows numbers. Does not know optimisers.
"""

import math


def warmed_cosine(iteration: int, warmup: int, total: int) -> float:
    """Gives the part of the highest rate at an iteration: a straight line up, then half a cosine down to zero.

    Args:
        iteration: how many are done.
        warmup: iterations until the line is at the top.
        total: iterations until the cosine is at zero; it runs from the first one on.
    """
    warm = min(1.0, (iteration + 1) / max(1, warmup))
    return warm * 0.5 * (1.0 + math.cos(math.pi * min(1.0, iteration / total)))
