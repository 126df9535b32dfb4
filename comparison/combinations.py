"""Which preferences are compared: one pole on each axis and its opposite, or what a user is known to want.

Knows dimensions and their opposites. Does not know experts, texts or scores.
"""

from collections.abc import Mapping, Sequence
from itertools import product

from decoding.dimension import Dimension, axes

Combination = tuple[str, ...]
"""The dimensions that one preference asks for, each perhaps with how strongly: `friendly`, or `friendly=0.5`."""


def strengths(combination: Combination) -> dict[str, float]:
    """Gives how strongly each dimension is asked for, in (0, 1]."""
    parts = (one.partition("=") for one in combination)
    return {name: float(number) if number else 1.0 for name, _, number in parts}


def weighted(asked: Mapping[str, float]) -> Combination:
    """Gives the preference that asks for each dimension so strongly."""
    return tuple(name if strength == 1 else f"{name}={strength:g}" for name, strength in asked.items())


def combinations(dimensions: Sequence[Dimension]) -> list[Combination]:
    """Gives every preference that takes one pole on each axis: eight of them for three axes with two poles."""
    return list(product(*axes(dimensions)))


def opposite(combination: Combination, dimensions: Sequence[Dimension]) -> Combination:
    """Gives the preference that takes the other pole on each axis; a pole without an opposite stays."""
    other = {pole: axis[1 - axis.index(pole)] for axis in axes(dimensions) if len(axis) == 2 for pole in axis}
    return weighted({other.get(pole, pole): strength for pole, strength in strengths(combination).items()})


def label(combination: Combination) -> str:
    """Gives a combination one name, which can be a file's as well."""
    return "+".join(combination)
