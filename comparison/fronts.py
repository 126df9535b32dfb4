"""Fronts: what each method reaches when more of one dimension and less of another is asked for.

Knows preferences, outcomes and hypervolumes. Does not know how an answer is made.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np

from comparison.combinations import Combination, label, weighted
from comparison.outcomes import Array, Outcome
from evaluation.fronts import hypervolume
from evaluation.intervals import estimate_of

LEVELS = (0.0, 0.5, 1.0)
POSSIBLE = (2, 3)
"""How many dimensions a front can have."""


def sweep(dimensions: Sequence[str]) -> list[Combination]:
    """Gives the preferences that ask for nothing, half or all of each dimension, and for all of at least one.

    In the order in which a line goes from the first dimension to the second: five for two dimensions, 19 for three.

    Raises:
        ValueError: If there are not two or three different dimensions.
    """
    if len(dimensions) not in POSSIBLE or len({*dimensions}) < len(dimensions):
        raise ValueError(f"a front must have two or three different dimensions, got {label(tuple(dimensions))}")
    grid = [levels for levels in product(LEVELS, repeat=len(dimensions)) if max(levels) == 1]
    grid.sort(key=lambda levels: (*(after - before for before, after in pairwise(levels)),))
    asked = ({name: level for name, level in zip(dimensions, levels, strict=True) if level > 0} for levels in grid)
    return [weighted(one) for one in asked]


def front(outcomes: Mapping[str, Outcome], dimensions: Sequence[str], reference: str) -> dict[str, Any]:
    """Gives the report of one sweep.

    A point is the mean of quality times score on each dimension, so that nobody gains by what is said badly. The
    hypervolume is the share of all there could be that some point of a method is above, and says which method offers
    more to choose from.

    Args:
        outcomes: Of each method under the preferences of `sweep(dimensions)`.
        dimensions: That were swept.
        reference: The method that is held against the others, if it is among them.
    """
    values = {name: _values(outcome, dimensions) for name, outcome in outcomes.items()}
    methods = {}
    for name, ours in values.items():
        entry: dict[str, Any] = {
            "points": {label(asked): ours[:, place].mean(axis=0).tolist() for place, asked in _places(outcomes[name])},
            "hypervolume": estimate_of(_commanded, ours).as_dict(),
        }
        if reference in values and name != reference:
            both = np.stack([values[reference], ours], axis=1)  # (N, 2, P, D)
            entry["reference_minus_ours"] = estimate_of(_advantage, both).as_dict()
        methods[name] = entry
    return {"dimensions": list(dimensions), "methods": methods}


def _places(outcome: Outcome) -> list[tuple[int, Combination]]:
    return list(enumerate(outcome.scores))


def _values(outcome: Outcome, dimensions: Sequence[str]) -> Array:
    """Quality times score on each dimension under each preference, averaged over seeds (N, P, D)."""
    by_preference = [
        np.mean([[one.quality * one.dimensions[name] for name in dimensions] for one in seeds], axis=0)  # (D, N)
        for seeds in outcome.scores.values()
    ]
    return np.stack(by_preference).transpose(2, 0, 1)


def _commanded(points: Array) -> float:
    """The hypervolume over zero of points (P, D)."""
    return hypervolume(points, np.zeros(points.shape[-1]))


def _advantage(both: Array) -> float:
    """How much more the first of two sets of points (2, P, D) commands."""
    return _commanded(both[0]) - _commanded(both[1])
