"""Who beats whom: wins, ties and losses between methods, and one number for each method's strength.

Knows arrays of numbers, prompts first. Knows no model, no text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from evaluation.intervals import TIE

Array = NDArray[np.float64]

ELO = 400 / np.log(10)
"""Elo points in one nat of log-odds."""


@dataclass(frozen=True)
class Matches:
    """Counts of answers compared one with one between M methods.

    Args:
        wins: How often the row's method is better than the column's (M, M).
        ties: How often they are equal (M, M).
    """

    wins: Array
    ties: Array

    @property
    def points(self) -> Array:
        """Wins with a tie counted as half (M, M)."""
        return self.wins + self.ties / 2


def matches(values: Sequence[ArrayLike]) -> Matches:
    """Gives the win–tie–loss matrix of M methods.

    Args:
        values: Scores of each method's answers, all of one shape; answers at the same place are compared.

    Raises:
        ValueError: If shapes differ, or values are missing or not finite.
    """
    arrays = [np.asarray(one, dtype=np.float64) for one in values]
    if len({array.shape for array in arrays}) != 1 or arrays[0].size == 0:
        raise ValueError(f"values must be of one shape that is not empty, got {[array.shape for array in arrays]}")
    scores = np.stack([array.ravel() for array in arrays])  # (M, n)
    if not np.isfinite(scores).all():
        raise ValueError(f"values must be finite, got {int((~np.isfinite(scores)).sum())} that are not")
    wins = np.array([(row - scores > TIE).sum(axis=1) for row in scores], dtype=np.float64)
    ties = np.array([(abs(row - scores) <= TIE).sum(axis=1) for row in scores], dtype=np.float64)
    np.fill_diagonal(ties, 0.0)  # nobody plays against himself
    return Matches(wins, ties)


def bradley_terry(points: ArrayLike, *, prior: float = 0.5) -> Array:
    """Gives the strengths (M,) under which these points are most likely, `P(i beats j) = σ(s_i − s_j)`, mean zero.

    Args:
        points: How often the row beats the column, a tie as half (M, M).
        prior: Points added to both sides of every pair that has met: without them, whoever never loses is infinitely
            strong.

    Returns:
        Log-odds, in nats; times `ELO` they are Elo points.

    Raises:
        ValueError: If points are no square of numbers that are not negative, or the strengths have no finite maximum.
    """
    won = np.array(points, dtype=np.float64)
    if won.ndim != 2 or won.shape[0] != won.shape[1] or not np.isfinite(won).all() or (won < 0).any():
        raise ValueError(f"points must be a square of numbers of at least 0, got {won.tolist()}")
    np.fill_diagonal(won, 0.0)
    met = (won + won.T) > 0
    won = won + prior * met
    if not _connected(won):
        raise ValueError("every method must have won against every other one, directly or through others: give a prior")

    def loss(strengths: Array) -> tuple[float, Array]:
        gaps = strengths[:, None] - strengths[None, :]  # (M, M)
        missed = won * expit(-gaps)
        return -float((won * log_expit(gaps)).sum()), missed.sum(axis=0) - missed.sum(axis=1)

    total = max(won.sum(), 1.0)
    found = minimize(
        lambda s: tuple(part / total for part in loss(s)), np.zeros(len(won)), jac=True, method="BFGS", tol=1e-10
    )
    return found.x - found.x.mean()


def _connected(won: Array) -> bool:
    """Whether each method reaches each other one along wins (Zermelo's condition for a finite maximum)."""
    reach = (won > 0) | np.eye(len(won), dtype=bool)
    for _ in range(len(won)):
        reach = (reach.astype(float) @ reach.astype(float)) > 0
    return bool(reach.all())
