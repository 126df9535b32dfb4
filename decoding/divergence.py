"""How far a distribution is from the base's, and how a deployer's cap keeps it near.

Knows log-probabilities. Does not know who mixed them.
"""

import math

import torch
from torch import Tensor

from decoding.rules import IMPOSSIBLE

HALVINGS = 40
"""Of the interval in which a cap's scale lies: it is known to 2^-40."""


def divergence(logprobs: Tensor, base_logprobs: Tensor) -> Tensor:
    """Gives KL(mixture‖base) = Σ p (log p − log p_base) in nats (...,), never below zero.

    Args:
        logprobs: Of the mixture (..., V).
        base_logprobs: Of the base (..., V).
    """
    mixture, base = logprobs.clamp(min=IMPOSSIBLE), base_logprobs.clamp(min=IMPOSSIBLE)
    return (logprobs.exp() * (mixture - base)).sum(dim=-1).clamp(min=0.0)


def capped(logprobs: Tensor, base_logprobs: Tensor, cap: float | None) -> Tensor:
    """Gives p ∝ p_base · (p_mixture / p_base)^s with the largest s in [0, 1] for which KL(p‖base) <= cap (..., V).

    Along this path the divergence never falls as s grows: its derivative is s times the variance of the log-ratio
    under p, which is at least zero. So s is found by halving, and the lower end is taken. The error is one-sided: s is
    at most 2^-40 too small, never too large; only the rounding of the result to its own precision is on either side.
    Where the mixture keeps the cap by itself it comes back bit for bit; a cap of zero gives the base.

    Under the `anchored` rule it is the mixture whose weights are all s times as large.

    Args:
        logprobs: Of the mixture (..., V); a row with a NaN comes back as it is.
        base_logprobs: Of the base (..., V).
        cap: Nats at each token, at least 0; None is no cap.

    Raises:
        ValueError: If the cap is not a number of nats.
    """
    if cap is None:
        return logprobs
    require_cap(cap)
    base = base_logprobs.double().clamp(min=IMPOSSIBLE)  # (..., V)
    step = logprobs.double().clamp(min=IMPOSSIBLE) - base
    beyond = divergence(logprobs.double(), base) > cap  # (...,), false for a NaN
    if not bool(beyond.any()):
        return logprobs
    scale = _largest_scale(base[beyond], step[beyond], cap)  # (n, 1)
    near = torch.where(
        scale * cap > 0, (base[beyond] + scale * step[beyond]).log_softmax(dim=-1), base_logprobs[beyond]
    )
    kept = logprobs.clone()
    kept[beyond] = near.to(logprobs)
    return kept


def _largest_scale(base: Tensor, step: Tensor, cap: float) -> Tensor:
    """The s of each row that `capped` speaks of (n, 1), from the lower end of the last interval."""
    low, high = torch.zeros_like(base[:, :1]), torch.ones_like(base[:, :1])
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        fits = divergence((base + middle * step).log_softmax(dim=-1), base).unsqueeze(-1) <= cap
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    return low


def require_cap(cap: float | None) -> None:
    """Refuses a cap that bounds nothing.

    Args:
        cap: Nats at each token; None is no cap.

    Raises:
        ValueError: If it is negative, infinite or no number.
    """
    if cap is not None and not (isinstance(cap, int | float) and math.isfinite(cap) and cap >= 0):
        raise ValueError(f"a cap must be a finite number of nats of at least 0, got {cap!r}")
