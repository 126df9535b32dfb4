"""What the controller is trained to make small: REBEL, PPO or DPO over pairs of responses.

Pure functions of tensors. Knows neither models nor texts.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Comparison(NamedTuple):
    """Pairs of responses as the objectives compare them: S responses, of which M tokens were read."""

    token_new: Tensor  # (M,) log π of each token in nats; carries the gradient
    token_old: Tensor  # (M,) log π_t of the policy that drew it
    response: Tensor  # (M,) the number of its response
    reward: Tensor  # (S,)
    first: Tensor  # (P,) the numbers of the pairs' first responses
    second: Tensor  # (P,) and of their second ones

    def summed(self, values: Tensor) -> Tensor:
        """Gives the sum of values (M,) over the tokens of each response (S,)."""
        return values.new_zeros(len(self.reward)).index_add(0, self.response, values)

    @property
    def log_ratios(self) -> Tensor:
        """Gives (ln π/π_t)(y) of each response (S,)."""
        return self.summed(self.token_new) - self.summed(self.token_old)


Objective = Callable[[Comparison, float], Tensor]
"""From pairs and η, the nats of log-ratio that a unit of reward is worth, to a loss: a mean over the pairs."""


def rebel(pairs: Comparison, eta: float) -> Tensor:
    """Gives mean(((ln π/π_t)(y) − (ln π/π_t)(y') − η (R(y) − R(y')))²), REBEL's regression (2404.16767, equation 1).

    Zero where the change of the log-ratio explains the difference of the rewards exactly.

    Args:
        pairs: what was drawn.
        eta: nats of log-ratio for each unit of reward, above 0.
    """
    ratios = pairs.log_ratios
    explained = eta * (pairs.reward[pairs.first] - pairs.reward[pairs.second])  # (P,)
    return (ratios[pairs.first] - ratios[pairs.second] - explained).square().mean()


def ppo(pairs: Comparison, eta: float, clip: float = 0.2) -> Tensor:
    """Gives −mean over pairs of Σ_t min(ρ_t A, clip(ρ_t, 1 ± clip) A), ρ_t = π/π_t of a token (1707.06347, equation 7).

    The advantage A of a response is η (R(y) − R(y')): the other response to the same prompt is its baseline
    (RLOO, 2402.14740), so no value function is learned. The sum is over the tokens of both responses.

    Args:
        pairs: what was drawn.
        eta: scale of the advantages.
        clip: how far a token's ratio may move before its gradient ends.
    """
    difference = eta * (pairs.reward[pairs.first] - pairs.reward[pairs.second])  # (P,)
    advantages = torch.zeros_like(pairs.reward)
    advantages[pairs.first], advantages[pairs.second] = difference, -difference
    advantage = advantages[pairs.response]  # (M,)
    ratio = (pairs.token_new - pairs.token_old).exp()
    gains = torch.minimum(ratio * advantage, ratio.clamp(1.0 - clip, 1.0 + clip) * advantage)
    return -gains.sum() / len(pairs.first)


def dpo(pairs: Comparison, eta: float) -> Tensor:
    """Gives −mean ln σ(β ((ln π/π_t)(y_w) − (ln π/π_t)(y_l))) with β = 1/η (2305.18290, equation 7).

    The better response y_w is the one with the larger reward; how much better it is does not enter. A tie teaches
    nothing. The reference is the policy π_t that drew the pair.

    Args:
        pairs: what was drawn.
        eta: inverse of DPO's β.
    """
    ratios = pairs.log_ratios
    better = (pairs.reward[pairs.first] - pairs.reward[pairs.second]).sign()  # (P,) 1, −1 or 0
    return -functional.logsigmoid(better * (ratios[pairs.first] - ratios[pairs.second]) / eta).mean()


OBJECTIVES: dict[str, Objective] = {"rebel": rebel, "ppo": ppo, "dpo": dpo}


def objective_named(name: str) -> Objective:
    """Gives the objective called so.

    Args:
        name: one of `OBJECTIVES`.

    Raises:
        ValueError: if there is none of this name.
    """
    if name not in OBJECTIVES:
        raise ValueError(f"an objective must be one of {', '.join(OBJECTIVES)}, got {name!r}")
    return OBJECTIVES[name]
