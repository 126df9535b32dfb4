"""Which pair of answers to ask about next: the one whose choice tells most about the user (PReF, arXiv 2503.06358).

Knows numbers of answers and a belief. Does not know texts.
"""

import math
from collections.abc import Collection

import torch
from torch import Tensor

from pcm.users.belief import Belief

CHECKS = 4
"""Every so many questions one is asked whose answer seems sure. The most informative pairs are close calls, by which
somebody with a taste can hardly be told from a coin or from somebody who has changed their mind; a sure one tells."""


def information(differences: Tensor, belief: Belief) -> Tensor:
    """How much each choice would tell, `σ'(λᵀv)² · vᵀ M⁻¹ v` for `v = φ(x, y₁) − φ(x, y₂)`, `(N,)`.

    `M⁻¹` is the belief's covariance: `M = prior + Σ σ'(λᵀv) v vᵀ` over the choices so far.

    Args:
        differences: Of the pairs that can be asked about `(N, J)`.
        belief: After the choices so far.
    """
    differences = differences.double()
    likely = (differences @ belief.mean).sigmoid()
    spread = ((differences @ belief.covariance) * differences).sum(-1)
    return (likely * (1 - likely)).square() * spread


def certainty(differences: Tensor, belief: Belief) -> Tensor:
    """How sure each choice is before it is made: its log-odds, whichever way, under all that is believed `(N,)`.

    The mean of a logistic function of a normal variable, by the approximation of MacKay (1992).

    Args:
        differences: Of the pairs that can be asked about `(N, J)`.
        belief: After the choices so far.
    """
    differences = differences.double()
    spread = ((differences @ belief.covariance) * differences).sum(-1)
    return (differences @ belief.mean).abs() / (1 + math.pi / 8 * spread).sqrt()


def next_pair(differences: Tensor, belief: Belief, asked: Collection[int]) -> int | None:
    """The number of the pair to ask about next, None where all have been asked.

    Args:
        differences: Of all pairs `(N, J)`.
        belief: After the choices so far.
        asked: Pairs that are not to be asked about again.
    """
    if len(asked) == len(differences):
        return None
    checks = (len(asked) + 1) % CHECKS == 0
    worth = (certainty if checks else information)(differences, belief)
    worth[list(asked)] = -torch.inf
    return int(worth.argmax())


def any_pair(count: int, asked: Collection[int], generator: torch.Generator) -> int:
    """One of `count` pairs that was not asked about, drawn at random."""
    left = torch.ones(count)
    left[list(asked)] = 0
    return int(left.multinomial(1, generator=generator))
