"""Say which expert moved a chosen token.

Knows the log-probabilities of one token under the base and the experts, and the weights. Does not know how the token
was chosen, nor what an expert is called.
"""

import torch
from torch import Tensor

NOTICEABLE = 0.01
"""Nats: below one percent of a token's probability nobody is said to have moved it."""


def push(base_logprob: Tensor, expert_logprobs: Tensor, log_weights: Tensor) -> Tensor:
    """Gives by how many nats each expert pushed the token: `w_k (log p_k - log p_base)`, zero where it has no weight.

    The summands of the `anchored` rule before its normaliser, which is the same for every expert. The rules that mix
    without the base call for `responsibility`.

    Args:
        base_logprob: Log-probability of the chosen token under the base, nats (...,).
        expert_logprobs: The same under each expert, nats (..., K).
        log_weights: Log-weights, -inf where an expert is not asked (..., K).
    """
    pushed = log_weights.exp() * (expert_logprobs - base_logprob.unsqueeze(-1))
    return torch.where(log_weights.isneginf(), 0.0, pushed)


def responsibility(base_logprob: Tensor, expert_logprobs: Tensor, log_weights: Tensor) -> Tensor:
    """Gives the posterior that each expert chose the token: `w_k p_k / sum_j w_j p_j`, which sums to one.

    Exact for the `probability` rule, where an expert is drawn by weight and then draws the token. For the `logit`
    rule it ranks the experts by what they contribute.

    Args:
        base_logprob: Not used: these rules mix without the base (...,).
        expert_logprobs: Log-probability of the chosen token under each expert, nats (..., K).
        log_weights: Log-weights, -inf where an expert is not asked (..., K).
    """
    return torch.where(log_weights.isneginf(), -torch.inf, log_weights + expert_logprobs).softmax(dim=-1)


def attribution(rule: str | None, base_logprob: Tensor, expert_logprobs: Tensor, log_weights: Tensor) -> Tensor:
    """Gives how much each expert moved the chosen token under that rule (..., K).

    Args:
        rule: Name of the mixing rule; None is one without a name, of which nothing but the weights is known.
        base_logprob: Log-probability of the chosen token under the base, nats (...,).
        expert_logprobs: The same under each expert, nats (..., K).
        log_weights: Log-weights, -inf where an expert is not asked (..., K).
    """
    measure = push if rule == "anchored" else responsibility
    return measure(base_logprob, expert_logprobs, log_weights)


def moved_most(moved: dict[str, float]) -> str | None:
    """Gives the expert that moved the token most towards being chosen, None where nobody noticeably did.

    Args:
        moved: What `attribution` gave, by the expert's name.
    """
    if not moved:
        return None
    strongest = max(moved, key=lambda name: moved[name])
    return strongest if moved[strongest] >= NOTICEABLE else None
