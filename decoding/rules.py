"""Mixing rules: how the base, the experts and their weights become one distribution.

Knows log-probabilities and log-weights as tensors. Does not know where they come from, and neither tempers nor
truncates: tempering does not commute with mixing, so that is done after the rule (`decoding.sampling`).

Every rule has one signature, `(base_logprobs (..., V), expert_logprobs (..., K, V), log_weights (..., K)) ->
logprobs (..., V)`, any leading dimensions, all logs natural. A log-weight of -inf is an expert that is not asked.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Rule = Callable[[Tensor, Tensor, Tensor], Tensor]

IMPOSSIBLE = -1e4
"""Stands for a log-probability of -inf: its exp is zero in any dtype, yet `0 * -inf` and `-inf + inf` cannot occur."""


def probability(base_logprobs: Tensor, expert_logprobs: Tensor, log_weights: Tensor) -> Tensor:
    """Mixes in probability space, `log Σ_k w_k p_k` with `Σ w = 1` (arXiv 2407.04181); the base has no say.

    Args:
        base_logprobs: (..., V), unused.
        expert_logprobs: (..., K, V).
        log_weights: (..., K), any finite offset; normalised here.

    Returns:
        Log-probabilities, (..., V).

    Raises:
        ValueError: If the expert counts disagree or some position asks for no expert.
    """
    log_shares = _log_shares(expert_logprobs, log_weights)  # (..., K)
    return torch.logsumexp(expert_logprobs.clamp(min=IMPOSSIBLE) + log_shares.unsqueeze(-1), dim=-2)


def logit(base_logprobs: Tensor, expert_logprobs: Tensor, log_weights: Tensor) -> Tensor:
    """Mixes in log space, `log_softmax(Σ_k w_k log p_k)` with `Σ w = 1` (MOD, arXiv 2406.18853); the base cancels.

    Args:
        base_logprobs: (..., V), unused.
        expert_logprobs: (..., K, V).
        log_weights: (..., K), any finite offset; normalised here.

    Returns:
        Log-probabilities, (..., V).

    Raises:
        ValueError: If the expert counts disagree or some position asks for no expert.
    """
    weights = _log_shares(expert_logprobs, log_weights).exp()  # (..., K)
    return torch.log_softmax(_weighted_sum(weights, expert_logprobs.clamp(min=IMPOSSIBLE)), dim=-1)


def anchored(base_logprobs: Tensor, expert_logprobs: Tensor, log_weights: Tensor) -> Tensor:
    """Adds weighted differences to the base, `log_softmax(log p_base + Σ_k w_k (log p_k − log p_base))`, `w_k ≥ 0`.

    DExperts (arXiv 2105.03023) and proxy-tuning (2401.08565) generalised to K experts. The weights need not sum to
    one: zero weights give the base, a sum above one goes beyond the experts.

    Args:
        base_logprobs: (..., V).
        expert_logprobs: (..., K, V).
        log_weights: (..., K), taken as they are.

    Returns:
        Log-probabilities, (..., V).

    Raises:
        ValueError: If the expert counts disagree.
    """
    _require_same_experts(expert_logprobs, log_weights)
    base = base_logprobs.clamp(min=IMPOSSIBLE)  # (..., V)
    differences = expert_logprobs.clamp(min=IMPOSSIBLE) - base.unsqueeze(-2)  # (..., K, V)
    return torch.log_softmax(base + _weighted_sum(log_weights.exp(), differences), dim=-1)


RULES: dict[str, Rule] = {"probability": probability, "logit": logit, "anchored": anchored}


def rule_named(rule: str | Rule) -> Rule:
    """The rule called so; a function with the signature of a `Rule` is a rule already.

    Raises:
        ValueError: If there is no rule of this name.
    """
    if not isinstance(rule, str):
        return rule
    if rule not in RULES:
        raise ValueError(f"a mixing rule must be one of {', '.join(RULES)}, got {rule!r}")
    return RULES[rule]


def name_of(rule: str | Rule) -> str | None:
    """The name by which `rule_named` finds the rule again, None for a function that is not among them."""
    known = rule_named(rule)
    return next((name for name, function in RULES.items() if function is known), None)


def uniform_log_weights(asked: Tensor) -> Tensor:
    """The uniform mixture: `log(asked/n)` for each of the n experts with `asked > 0`, -inf for the others.

    Who is asked for alike weighs alike, and half an intensity is half the weight: under `anchored` half of the way from
    the base to the expert, under the other rules, which normalise, half as much as the others.

    Args:
        asked: (..., K), how much each expert is asked for, in [0, 1].

    Returns:
        Log-weights, (..., K), floating point.
    """
    floating = asked if asked.is_floating_point() else asked.float()
    count = (asked > 0).sum(dim=-1, keepdim=True).to(floating.dtype)  # (..., 1)
    return (floating.log() - count.log()).masked_fill(asked <= 0, -torch.inf)


def _log_shares(expert_logprobs: Tensor, log_weights: Tensor) -> Tensor:
    """Log-weights normalised to sum to one over experts, (..., K)."""
    _require_same_experts(expert_logprobs, log_weights)
    # A softmax over nothing but -inf is NaN, which would only show many tokens later.
    if not bool((log_weights > -torch.inf).any(dim=-1).all()):
        raise ValueError("the rules probability and logit need a finite log-weight at every position, got only -inf")
    return torch.log_softmax(log_weights, dim=-1)


def _weighted_sum(weights: Tensor, values: Tensor) -> Tensor:
    """`Σ_k weights_k values_k`: (..., K) and (..., K, V) to (..., V), without a (..., K, V) product in memory."""
    return torch.matmul(weights.unsqueeze(-2), values).squeeze(-2)


def _require_same_experts(expert_logprobs: Tensor, log_weights: Tensor) -> None:
    """Refuses a K of one that broadcasting would quietly stretch."""
    if expert_logprobs.shape[-2] != log_weights.shape[-1]:
        raise ValueError(
            f"expert_logprobs (..., K, V) and log_weights (..., K) must have the same K, "
            f"got {tuple(expert_logprobs.shape)} and {tuple(log_weights.shape)}"
        )
