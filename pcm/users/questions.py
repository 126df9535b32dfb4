"""Which pair of answers to ask about next: the one whose choice tells most about the user (PReF, arXiv 2503.06358).

Knows numbers of answers and a belief. Does not know texts.
"""

import torch
from torch import Tensor

from pcm.users.belief import Belief


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


def most_informative(differences: Tensor, belief: Belief, asked: set[int]) -> int | None:
    """The number of the pair to ask about next, None where all have been asked."""
    told = information(differences, belief)
    told[list(asked)] = -torch.inf
    best = int(told.argmax())
    return None if best in asked else best
