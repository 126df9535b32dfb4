"""The arithmetic of proximal policy optimisation for several experts at once, as pure functions of tensors.

Knows rows, tokens, masks and which expert a row belongs to. Does not know models, sampling, optimisers or reward
models. Rows are `(request, expert)` pairs, letters as everywhere: `R` rows, `T` response tokens, `K` experts. Every
mean, variance and controller is taken per expert: no number of one expert enters the gradient of another.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Trajectories(NamedTuple):
    """Sampled responses with everything the losses compare against; all rows expert-major, all `(R, T)` masked by
    `mask`.
    """  # noqa: D205

    prompt_ids: Tensor  # (R, P) padded on the left
    prompt_mask: Tensor  # (R, P)
    tokens: Tensor  # (R, T) padded on the right
    mask: Tensor  # (R, T) one where the token counts
    experts: Tensor  # (R,) sorted expert numbers
    logprobs: Tensor  # (R, T) under the policy that sampled them, nats
    values: Tensor  # (R, T) predicted return before each token
    advantages: Tensor  # (R, T) whitened per expert
    returns: Tensor  # (R, T) what the value should have been

    def rows(self, indices: Tensor) -> "Trajectories":
        """The given rows, cut to their longest response."""
        chosen = Trajectories(*(tensor[indices] for tensor in self))
        longest = int(chosen.mask.sum(-1).max())
        kept = {name: getattr(chosen, name)[:, :longest] for name in _PER_TOKEN}
        return chosen._replace(**kept)


_PER_TOKEN = ("tokens", "mask", "logprobs", "values", "advantages", "returns")


def gae(
    rewards: Tensor, values: Tensor, mask: Tensor, discount: float = 1.0, trace: float = 0.95
) -> tuple[Tensor, Tensor]:
    """Advantages `A_t = sum_l (discount * trace)^l delta_(t+l)` and returns `A_t + V_t` (arXiv 1506.02438, eq. 16).

    `delta_t = r_t + discount * V_(t+1) - V_t`, with `V = 0` after the last token. The sum over later tokens is one
    product with a triangular matrix; naively it is `A_t = delta_t + discount * trace * A_(t+1)`.

    Args:
        rewards: `(R, T)`.
        values: `(R, T)`.
        mask: `(R, T)`, one on a prefix of every row.
        discount: gamma.
        trace: lambda, zero for one-step differences, one for whole returns.
    """
    counted = mask.to(values.dtype)
    following = torch.nn.functional.pad(values * counted, (0, 1))[:, 1:]  # (R, T): V_(t+1)
    delta = (rewards + discount * following - values) * counted
    steps = torch.arange(rewards.shape[1], device=rewards.device)
    ahead = (steps[:, None] - steps[None, :]).to(values.dtype)  # (T later, T now)
    decay = torch.where(ahead >= 0, (discount * trace) ** ahead.clamp(min=0), 0.0)
    advantages = (delta @ decay) * counted
    return advantages, (advantages + values) * counted


def sum_per_expert(row_values: Tensor, experts: Tensor, count: int) -> Tensor:
    """Sums of row values `(R,)` over the rows of each expert, `(K,)`."""
    return row_values.new_zeros(count).index_add(0, experts, row_values)


def whiten(values: Tensor, mask: Tensor, experts: Tensor, count: int, epsilon: float = 1e-8) -> Tensor:
    """Values shifted and scaled to mean zero and variance one over the tokens of each expert, zero where masked.

    Args:
        values: `(R, T)`.
        mask: `(R, T)`.
        experts: expert number of each row, `(R,)`.
        count: how many experts there are, `K`.
        epsilon: added to the variance.
    """
    counted = mask.to(values.dtype)
    tokens = sum_per_expert(counted.sum(-1), experts, count).clamp(min=1)  # (K,)
    mean = sum_per_expert((values * counted).sum(-1), experts, count) / tokens
    centred = (values - mean[experts, None]) * counted
    variance = sum_per_expert(centred.square().sum(-1), experts, count) / tokens
    return centred * (variance + epsilon).rsqrt()[experts, None]


def policy_loss(logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, clip: float = 0.2) -> Tensor:
    """`-min(rho A, clip(rho, 1 - clip, 1 + clip) A)` per token, `rho = pi / pi_old` (arXiv 1707.06347, eq. 7)."""
    ratio = (logprobs - old_logprobs).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float = 0.2) -> Tensor:
    """Half the larger squared error of the value and of the value kept within `clip` of the old one, per token.

    The value counterpart of the clipped objective, `max((V - G)^2, (V_old + clip(V - V_old, -c, c) - G)^2) / 2`
    (arXiv 2005.12729, section 3).
    """
    kept_near = old_values + (values - old_values).clamp(-clip, clip)
    return torch.maximum((values - returns).square(), (kept_near - returns).square()) / 2


def step_kl(logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
    """The never negative one-sample estimate `rho - 1 - ln rho` of KL(old || new) per token, in nats."""
    log_ratio = logprobs - old_logprobs
    return log_ratio.exp() - 1 - log_ratio


def clipped(logprobs: Tensor, old_logprobs: Tensor, clip: float = 0.2) -> Tensor:
    """One per token whose probability ratio lies outside `1 - clip` to `1 + clip`, zero elsewhere."""
    ratio = (logprobs - old_logprobs).exp()
    return ((ratio - 1).abs() > clip).to(logprobs.dtype)


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor, experts: Tensor, count: int) -> Tensor:
    """`1 - Var(G - V) / Var(G)` over the tokens of each expert, `(K,)`: one for perfect values, zero for useless ones.

    Args:
        values: predicted returns `(R, T)`.
        returns: `(R, T)`; where they do not vary over an expert's tokens, nothing can be explained and zero stands.
        mask: `(R, T)`.
        experts: expert number of each row, `(R,)`.
        count: how many experts there are, `K`.
    """
    left, whole = (variance(numbers, mask, experts, count) for numbers in (returns - values, returns))
    return torch.where(whole > 0, 1 - left / whole.clamp(min=torch.finfo(whole.dtype).tiny), torch.zeros_like(whole))


def variance(values: Tensor, mask: Tensor, experts: Tensor, count: int) -> Tensor:
    """Variance of values `(R, T)` over the tokens of each expert, `(K,)`."""
    counted = mask.to(values.dtype)
    tokens = sum_per_expert(counted.sum(-1), experts, count).clamp(min=1)
    mean = sum_per_expert((values * counted).sum(-1), experts, count) / tokens
    return sum_per_expert(((values - mean[experts, None]) * counted).square().sum(-1), experts, count) / tokens


def shaped_rewards(
    scores: Tensor, logprobs: Tensor, base_logprobs: Tensor, mask: Tensor, kl_coefficients: Tensor
) -> Tensor:
    """Rewards per token `(R, T)`: the KL penalty everywhere, the score on the last token (arXiv 1909.08593, eq. 2).

    Args:
        scores: reward of the whole response, `(R,)`.
        logprobs: of the sampled tokens under the expert, `(R, T)`.
        base_logprobs: of the same tokens under the base, `(R, T)`.
        mask: `(R, T)`, at least one token in every row.
        kl_coefficients: reward lost per nat, `(R,)`.
    """
    penalty = -kl_coefficients[:, None] * (logprobs - base_logprobs) * mask
    last = mask.sum(-1, keepdim=True).long() - 1  # (R, 1)
    return penalty.scatter_add(1, last, scores[:, None])


def adaptive_kl(coefficients: Tensor, kl: Tensor, target: float, rate: float = 0.1) -> Tensor:
    """Coefficients moved towards the KL target: `beta (1 + rate clip(KL / target - 1, -0.2, 0.2))` (1909.08593, 2.2).

    Args:
        coefficients: of each expert, `(K,)`.
        kl: measured mean KL to the base, nats per response, `(K,)`.
        target: nats per response.
        rate: how strongly one update moves the coefficient; the error is limited to 0.2 before it is multiplied.
    """
    return coefficients * (1 + rate * (kl / target - 1).clamp(-0.2, 0.2))


def held_back(prices: Tensor, chances: Tensor, experts: Tensor) -> Tensor:
    """What each response pays for moving what its expert is to leave alone: `sum_d price_d (chance_d - 1/2)`, `(R,)`.

    Args:
        prices: of each expert `(K, D)`; below zero where a falling chance is what has to be paid for.
        chances: of beating the base's own answer in each reward `(R, D)`.
        experts: expert number of each row, `(R,)`.
    """
    return (prices[experts] * (chances - 0.5)).sum(-1)


def raised_prices(prices: Tensor, chances: Tensor, held: Tensor, experts: Tensor, rate: float) -> Tensor:
    """Prices `(K, D)` after a rollout: each rises by `rate` times how far its expert's mean chance is above one half.

    Dual ascent on the constraint that an expert's answers are as likely as the base's own to be preferred in what it is
    not paid for (a Lagrangian, as in 2310.12773 for safety). Answers of the base have a mean of one half.

    Args:
        prices: before it `(K, D)`.
        chances: `(R, D)`.
        held: which rewards each expert shall leave alone `(K, D)`, bool; the prices of others stay zero.
        experts: expert number of each row, `(R,)`.
        rate: of the ascent.
    """
    rows = sum_per_expert(torch.ones_like(chances[:, 0]), experts, len(prices)).clamp(min=1)  # (K,)
    sums = chances.new_zeros(prices.shape).index_add(0, experts, chances)  # (K, D)
    return (prices + rate * (sums / rows[:, None] - 0.5)) * held


def centred(marks: Tensor, experts: Tensor, count: int) -> Tensor:
    """Marks less the mean of their expert's marks, `(R,)`.

    Args:
        marks: `(R,)`.
        experts: which expert each response belongs to, `(R,)`.
        count: number of experts.
    """
    means = sum_per_expert(marks, experts, count) / sum_per_expert(torch.ones_like(marks), experts, count).clamp(min=1)
    return marks - means[experts]
