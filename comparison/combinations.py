"""Which preferences are compared: one pole on each axis, and its opposite.

Knows dimensions and their opposites. Does not know experts, texts or scores.
"""

from collections.abc import Sequence
from itertools import product

from decoding.dimension import Dimension

Combination = tuple[str, ...]
"""Names of the dimensions that one preference asks for."""


def axes(dimensions: Sequence[Dimension]) -> list[tuple[str, ...]]:
    """Gives the poles of each axis, in the order in which the dimensions first name them."""
    known = {dimension.name for dimension in dimensions}
    found: list[tuple[str, ...]] = []
    for dimension in dimensions:
        if not any(dimension.name in axis for axis in found):
            other = dimension.opposite if dimension.opposite in known else None
            found.append((dimension.name,) if other is None else (dimension.name, other))
    return found


def combinations(dimensions: Sequence[Dimension]) -> list[Combination]:
    """Gives every preference that takes one pole on each axis: eight of them for three axes with two poles."""
    return list(product(*axes(dimensions)))


def opposite(combination: Combination, dimensions: Sequence[Dimension]) -> Combination:
    """Gives the preference that takes the other pole on each axis; a pole without an opposite stays."""
    other = {pole: axis[1 - axis.index(pole)] for axis in axes(dimensions) if len(axis) == 2 for pole in axis}
    return tuple(other.get(pole, pole) for pole in combination)


def label(combination: Combination) -> str:
    """Gives a combination one name, which can be a file's as well."""
    return "+".join(combination)
