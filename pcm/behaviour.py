"""What each expert is about to do at one token, in four numbers that no name or position enters.

Knows log-probabilities. Does not know which expert is which, so a controller that reads these numbers
also serves experts that did not exist when it was trained.
"""

import torch
from torch import Tensor

FEATURES = ("entropy", "kl_to_base", "kl_from_base", "kl_to_asked_mean")
"""The features in the order of the last dimension, each squashed by log(1 + nats)."""


def behaviour(base_logprobs: Tensor, expert_logprobs: Tensor, asked: Tensor) -> Tensor:
    """Gives log1p of H(k), KL(k‖base), KL(base‖k) and KL(k‖mean of the asked experts), each in nats.

    Every divergence is an entropy and one inner product over the vocabulary,
    KL(p‖q) = −H(p) − Σ p log q, so no further tensor of the experts' size is needed.

    Args:
        base_logprobs: normalised, finite log-probabilities of the base (..., V).
        expert_logprobs: the same for every expert (..., K, V).
        asked: how much each expert is asked for (..., K); only whether it is above zero matters here.

    Returns:
        The features (..., K, F), F = len(FEATURES), in the order of FEATURES.
    """
    probabilities = expert_logprobs.exp()  # (..., K, V)
    mean_logprobs = asked_mean(probabilities, asked)  # (..., V)
    base = base_logprobs.unsqueeze(-1)  # (..., V, 1)
    entropy = -(probabilities * expert_logprobs).sum(-1)  # (..., K)
    to_base = -entropy - (probabilities @ base).squeeze(-1)
    from_base = (base.exp() * base).sum(-2) - (expert_logprobs @ base.exp()).squeeze(-1)
    to_mean = -entropy - (probabilities @ mean_logprobs.unsqueeze(-1)).squeeze(-1)
    nats = torch.stack((entropy, to_base, from_base, to_mean), dim=-1)  # (..., K, F)
    return nats.clamp_min(0.0).log1p()  # rounding can leave a divergence just below zero


def asked_mean(probabilities: Tensor, asked: Tensor) -> Tensor:
    """Gives the log of the average distribution of the asked experts (..., V).

    Args:
        probabilities: the experts' distributions (..., K, V).
        asked: how much each is asked for (..., K); where nothing is asked the mean is taken over all.
    """
    members = (asked > 0).to(probabilities.dtype)
    members = torch.where(members.sum(-1, keepdim=True) > 0, members, torch.ones_like(members))
    shares = members / members.sum(-1, keepdim=True)
    mean = (shares.unsqueeze(-2) @ probabilities).squeeze(-2)
    return mean.clamp_min(torch.finfo(mean.dtype).tiny).log()
