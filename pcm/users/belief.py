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
        likely = (differences.double() @ mean).sigmoid()
        told = differences.double().T @ ((likely * (1 - likely))[:, None] * differences.double())
        return Belief(mean, torch.linalg.inv(torch.linalg.inv(self.covariance) + told))

    def _most_probable(self, differences: Tensor, outcomes: Tensor, precision: Tensor) -> Tensor:
        taste = self.mean.clone().requires_grad_()
        optimiser = torch.optim.LBFGS([taste], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimiser.zero_grad()
            surprise = binary_cross_entropy_with_logits(differences @ taste, outcomes, reduction="sum")
            away = taste - self.mean
            total = surprise + away @ precision @ away / 2
            total.backward()
            return total

        optimiser.step(loss)
        return taste.detach()

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
