"""The axes of taste: what reward models say of an answer, a pair of opposite poles as one axis.

Knows dimensions and scores by name. Does not know users nor how scores are made.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from decoding.dimension import Dimension, axes
from pcm.users.belief import Belief

QUALITY = "quality"


class Axes:
    """Axes that are named by their first pole, and last among them quality, which no preference asks for."""

    def __init__(self, dimensions: Sequence[Dimension]) -> None:
        """Joins opposite poles that are both known.

        Args:
            dimensions: What can be asked for.
        """
        self.dimensions = tuple(dimensions)
        names = [dimension.name for dimension in dimensions]
        self.poles: list[tuple[str, str | None]] = [
            (axis[0], axis[1] if len(axis) == 2 else None) for axis in axes(dimensions)
        ]
        self.scores = (*names, QUALITY)

    @property
    def places(self) -> list[tuple[int, int | None]]:
        """Of each axis but quality, the places of its two poles among the dimensions."""
        return [(self.scores.index(pole), None if b is None else self.scores.index(b)) for pole, b in self.poles]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the axes, in order `(J,)`."""
        return (*(pole for pole, _ in self.poles), QUALITY)

    def of(self, scores: Tensor) -> Tensor:
        """Where answers lie on the axes `(N, J)`: a pole's score, halfway from its opposite's where it has one.

        Args:
            scores: By the reward models of `self.scores`, logits `(N, D)`.
        """
        column = {name: scores[:, place] for place, name in enumerate(self.scores)}
        placed = [column[a] if b is None else (column[a] - column[b]) / 2 for a, b in self.poles]
        return torch.stack([*placed, column[QUALITY]], dim=-1)

    def weights(self, belief: Belief, sure: float = 1.0) -> dict[str, float]:
        """The numeric preference of a belief: intensities in [-1, 1], the strongest axis in full.

        An axis is asked for where its taste lies further from zero than `sure` standard deviations; a negative
        intensity asks for the opposite pole, and an axis without one is not asked for where it is disliked.
        """
        strongest = belief.mean[:-1].abs().max().clamp(min=1e-9)
        weights = {}
        for (pole, opposite), mean, deviation in zip(self.poles, belief.mean, belief.deviation, strict=False):
            liked = bool(mean > 0) or opposite is not None
            if liked and bool(mean.abs() > sure * deviation):
                weights[pole] = round(float(mean / strongest), 3)
        return weights
