"""Axes of taste that nobody named, learned from a log of many users' choices.

Two ways to factor what users chose, `P(y₁ ≻ y₂ | u) = σ(λ_uᵀ Wᵀ(f(x, y₁) − f(x, y₂)))` over frozen features f of
answers: PReF (arXiv 2503.06358) with free tastes, started from a singular value decomposition and kept small by a
penalty; LoRe (arXiv 2504.14439) with tastes on the simplex. Knows numbers of answers. Does not know texts.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from pcm.users.belief import Belief

ROUNDS = 10  # of filling in what is missing
PENALTY = 1e-3
"""Times the squared norms of directions and tastes, unless somebody says otherwise."""


@dataclass(frozen=True)
class Basis:
    """Learned axes, and where the users of the log lie on them.

    Args:
        directions: W, from features to axes `(F, J)`.
        tastes: Of the log's users `(U, J)`.
    """

    directions: Tensor
    tastes: Tensor

    def of(self, features: Tensor) -> Tensor:
        """Where answers, or differences of answers, lie on the axes `(N, J)`; features are `(N, F)`."""
        return features.double() @ self.directions

    def population(self, ridge: float = 0.05) -> Belief:
        """What is believed of a user before any choice: that they are like the users of the log."""
        covariance = torch.atleast_2d(self.tastes.T.cov())
        return Belief(self.tastes.mean(0), covariance + ridge * torch.eye(len(covariance), dtype=torch.float64))


def factorised(
    differences: Tensor,
    outcomes: Tensor,
    rank: int,
    *,
    penalty: float = PENALTY,
    svd_start: bool = True,
    seed: int = 0,
) -> Basis:
    """The basis of PReF: maximum likelihood under a penalty on the norms, from a start that factors the choices.

    Args:
        differences: Of the features of each pair `(P, F)`.
        outcomes: 1 where a user chose the first, ½ in a tie, 0 the second, NaN where nobody asked `(P, U)`.
        rank: How many axes, J.
        penalty: Times the squared norms of directions and tastes; without one they grow without end.
        svd_start: Start from the decomposition; else from noise.
        seed: Of the noise.

    Raises:
        ValueError: If shapes do not fit, or a user has no choice.
    """
    differences, scale = _scaled(differences)
    _require_choices(differences, outcomes, rank)
    if svd_start:
        directions, tastes = _decomposed(differences, outcomes.double(), rank)
    else:
        directions, tastes = _noise((differences.shape[1], rank), (outcomes.shape[1], rank), seed)

    def loss(directions: Tensor, tastes: Tensor) -> Tensor:
        size = directions.square().sum() + tastes.square().sum()
        return _surprise(differences @ directions @ tastes.T, outcomes) + penalty * size

    directions, tastes = _least(loss, directions, tastes)
    return Basis(directions / scale[:, None], tastes)


def low_rank(differences: Tensor, outcomes: Tensor, rank: int, *, penalty: float = PENALTY, seed: int = 0) -> Basis:
    """The basis of LoRe: every user is a mixture of `rank` reward models that are linear in the features.

    Its tastes lie on the simplex; `mixed` finds a new user's. The arguments and errors are those of `factorised`.
    """
    differences, scale = _scaled(differences)
    _require_choices(differences, outcomes, rank)
    start = _noise((differences.shape[1], rank), (outcomes.shape[1], rank), seed)

    def loss(directions: Tensor, logits: Tensor) -> Tensor:
        size = directions.square().sum() + logits.square().sum()
        return _surprise(differences @ directions @ logits.softmax(-1).T, outcomes) + penalty * size

    directions, logits = _least(loss, *start)
    return Basis(directions / scale[:, None], logits.softmax(-1))


def mixed(basis: Basis, differences: Tensor, outcomes: Tensor, penalty: float = 0.1) -> Tensor:
    """A new user's taste on the simplex `(J,)`, from a few choices.

    Args:
        basis: From `low_rank`.
        differences: Of the features of the pairs `(N, F)`.
        outcomes: Of the choices `(N,)`.
        penalty: Keeps the taste near the even mixture while choices are few.
    """
    margins = basis.of(differences)  # (N, J)

    def loss(logits: Tensor) -> Tensor:
        surprise = binary_cross_entropy_with_logits(margins @ logits.softmax(-1), outcomes.double(), reduction="sum")
        return surprise + penalty * logits.square().sum()

    return _least(loss, torch.zeros(margins.shape[1], dtype=torch.float64))[0].softmax(-1)


def filled(outcomes: Tensor, rank: int) -> Tensor:
    """Outcomes `(P, U)` with what is missing filled in by the best matrix of this rank, again and again."""
    known = ~outcomes.isnan()
    full = torch.where(known, outcomes, 0.5)
    for _ in range(ROUNDS):
        left, strengths, right = torch.linalg.svd(full - 0.5, full_matrices=False)
        near = (left[:, :rank] * strengths[:rank]) @ right[:rank] + 0.5
        full = torch.where(known, outcomes, near.clamp(0, 1))
    return full


def _decomposed(differences: Tensor, outcomes: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Directions and tastes whose products are near what was chosen: factors of the filled matrix, read off features.

    Four times the centred share is its logit, to first order.
    """
    left, strengths, right = torch.linalg.svd(4 * (filled(outcomes, rank) - 0.5), full_matrices=False)
    half = strengths[:rank].sqrt()
    ridge = differences.T @ differences + len(differences) * 0.1 * torch.eye(differences.shape[1], dtype=torch.float64)
    return torch.linalg.solve(ridge, differences.T @ (left[:, :rank] * half)), right[:rank].T * half


def _scaled(differences: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of about one `(P, F)`, and what each feature was divided by `(F,)`."""
    differences = differences.double()
    scale = differences.square().mean(0).sqrt().clamp(min=1e-9)
    return differences / scale, scale


def _require_choices(differences: Tensor, outcomes: Tensor, rank: int) -> None:
    if outcomes.ndim != 2 or len(outcomes) != len(differences):
        raise ValueError(f"outcomes must be ({len(differences)} pairs, users), got {tuple(outcomes.shape)}")
    if not 1 <= rank <= min(*outcomes.shape, differences.shape[1]):
        raise ValueError(f"rank must be between 1 and pairs, users and features, got {rank} for {outcomes.shape}")
    if bool(outcomes.isnan().all(0).any()):
        raise ValueError("every user of a log must have a choice, got some without")


def _noise(directions: tuple[int, int], tastes: tuple[int, int], seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in (directions, tastes))
    first, second = (0.1 * numbers for numbers in drawn)
    return first, second


def _surprise(margins: Tensor, outcomes: Tensor) -> Tensor:
    """Mean negative log-probability of the choices that are known, nats."""
    known = ~outcomes.isnan()
    return binary_cross_entropy_with_logits(margins[known], outcomes[known].double())


def _least(loss: Callable[..., Tensor], *start: Tensor) -> tuple[Tensor, ...]:
    """Where the loss is least, from a start."""
    found = [tensor.clone(memory_format=torch.contiguous_format).requires_grad_() for tensor in start]
    optimiser = torch.optim.LBFGS(found, max_iter=300, tolerance_grad=1e-8, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        total = loss(*found)
        total.backward()
        return total

    optimiser.step(closure)
    return tuple(tensor.detach() for tensor in found)
