"""Which points no other point beats, and how much space they command.

Knows points of two or three dimensions, more is better in each. Knows no model, no text.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def pareto_front(points: ArrayLike) -> NDArray[np.bool_]:
    """Gives whether each point is on the front (N,): no other one is at least as good everywhere and better somewhere.

    Args:
        points: (N, D).

    Raises:
        ValueError: If there are no points or one is not finite.
    """
    array = _points(points)
    as_good = (array[None, :, :] >= array[:, None, :]).all(axis=-1)  # (N, N) whether the column is as good as the row
    better = (array[None, :, :] > array[:, None, :]).any(axis=-1)
    beaten: NDArray[np.bool_] = np.any(as_good & better, axis=1)
    return ~beaten


def hypervolume(points: ArrayLike, reference: ArrayLike) -> float:
    """Gives the volume of everything between the reference and some point (Zitzler and Thiele, 1998).

    Args:
        points: (N, 2) or (N, 3).
        reference: The corner that every point should beat (D,); points that do not command nothing.

    Raises:
        ValueError: If there are no points, one is not finite, or D is neither 2 nor 3.
    """
    array, corner = _points(points), np.asarray(reference, dtype=np.float64)
    if corner.shape != array.shape[1:] or corner.shape not in ((2,), (3,)):
        raise ValueError(f"points and reference must have 2 or 3 dimensions, got {array.shape} and {corner.shape}")
    above = array - corner
    above = above[(above > 0).all(axis=1)]
    return _area(above) if corner.shape == (2,) else _volume(above)


def _area(points: Array) -> float:
    """The area between the origin and points with positive coordinates (N, 2): a sweep from right to left."""
    area, height = 0.0, 0.0
    for x, y in points[np.argsort(-points[:, 0])]:
        area += x * max(y - height, 0.0)
        height = max(y, height)
    return float(area)


def _volume(points: Array) -> float:
    """The volume between the origin and points (N, 3): slices between their heights, each with its area."""
    volume, floor = 0.0, 0.0
    for ceiling in np.unique(points[:, 2]):
        volume += (ceiling - floor) * _area(points[points[:, 2] >= ceiling][:, :2])
        floor = ceiling
    return float(volume)


def _points(points: ArrayLike) -> Array:
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"points must be finite numbers (N, D), got shape {array.shape}")
    return array
