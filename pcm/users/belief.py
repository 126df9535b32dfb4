"""What is believed of one user's taste, and how sure it is, after some choices.

Taste is linear: `P(y₁ ≻ y₂ | u) = σ(λ_uᵀ(φ(x, y₁) − φ(x, y₂)))` (PReF, arXiv 2503.06358, equation 1). λ is found by
logistic regression under a normal prior, its uncertainty by Laplace's approximation. Knows numbers of answers. Does
not know texts, nor what an axis of φ is called.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

ROUNDS = 50  # of Newton's method, which mostly needs five
SHORTEST = 1e-6  # part of a step, below which only rounding is in the way


@dataclass(frozen=True)
class Belief:
    """A normal distribution over tastes.

    Args:
        mean: What a unit of each axis is worth to the user, in logits `(J,)`.
        covariance: Of the same `(J, J)`.
    """

    mean: Tensor
    covariance: Tensor

    @classmethod
    def before(cls, axes: int, scale: float = 1.0) -> "Belief":
        """Knows nothing yet: mean zero, standard deviation `scale` on each of `axes` axes."""
        return cls(torch.zeros(axes, dtype=torch.float64), scale**2 * torch.eye(axes, dtype=torch.float64))

    @property
    def deviation(self) -> Tensor:
        """Standard deviation on each axis `(J,)`."""
        return self.covariance.diagonal().sqrt()

    def after(self, differences: Tensor, outcomes: Tensor) -> "Belief":
        """What is believed once the choices are known too.

        Args:
            differences: `φ(chosen) − φ(rejected)` of each choice `(N, J)`.
            outcomes: 1 where the first was preferred, ½ in a tie, 0 where the second was `(N,)`.

        Raises:
            ValueError: If the shapes do not fit, or a number is not finite.
        """
        differences, outcomes = differences.double(), outcomes.double()
        if differences.shape != (len(outcomes), len(self.mean)):
            expected = (len(outcomes), len(self.mean))
            raise ValueError(f"differences must be of shape {expected}, got {tuple(differences.shape)}")
        if not (differences.isfinite().all() and outcomes.isfinite().all()):
            raise ValueError("differences and outcomes must be finite, got some that are not")
        precision = torch.linalg.inv(self.covariance)
        return self.around(self._most_probable(differences, outcomes, precision), differences)

    def around(self, mean: Tensor, differences: Tensor) -> "Belief":
        """A taste that something else found, as sure as these choices allow by Laplace's approximation.

        Args:
            mean: The taste `(J,)`.
            differences: Of the choices `(N, J)`.
        """
        told = _information(differences.double(), (differences.double() @ mean).sigmoid())
        return Belief(mean, torch.linalg.inv(torch.linalg.inv(self.covariance) + told))

    def _most_probable(self, differences: Tensor, outcomes: Tensor, precision: Tensor) -> Tensor:
        """Newton's method on a convex surprise, each step halved until it leads down."""

        def surprise(taste: Tensor) -> Tensor:
            away = taste - self.mean
            unlikely = binary_cross_entropy_with_logits(differences @ taste, outcomes, reduction="sum")
            return unlikely + away @ precision @ away / 2

        taste = self.mean
        for _ in range(ROUNDS):
            likely = (differences @ taste).sigmoid()
            slope = differences.T @ (likely - outcomes) + precision @ (taste - self.mean)
            step = torch.linalg.solve(_information(differences, likely) + precision, slope)
            now, length = surprise(taste), 1.0
            while length > SHORTEST and bool(surprise(taste - length * step) > now):
                length /= 2
            taste = taste - length * step
            if bool(step.abs().max() < 1e-9):
                break
        return taste

    def odds(self, differences: Tensor, outcomes: Tensor) -> float:
        """The log-odds that choices come from a taste and not from a coin, if both were as likely before, nats.

        The Bayes factor, by Laplace's approximation. It is right whatever made the questions be asked: a coin reaches
        odds of c to one in at most one of c interviews. That the other choices foresee each one would not do, where
        each question was picked after the answers before it.

        Args:
            differences: As in `after`; `self` is the belief before any choice.
            outcomes: As in `after`.
        """
        after = self.after(differences, outcomes)
        margins = differences.double() @ after.mean
        surprise = binary_cross_entropy_with_logits(margins, outcomes.double(), reduction="sum")
        away = after.mean - self.mean
        narrower = after.covariance.logdet() - self.covariance.logdet()
        taste = -surprise - away @ torch.linalg.solve(self.covariance, away) / 2 + narrower / 2
        return float(taste) + len(outcomes) * math.log(2)


def _information(differences: Tensor, likely: Tensor) -> Tensor:
    """How sharply choices `(N, J)` that are made with these chances `(N,)` tell a taste, `(J, J)`."""
    return differences.T @ ((likely * (1 - likely))[:, None] * differences)
