"""Choosing one token from a mixed distribution.

Knows log-probabilities and random generators. Does not know how the distribution was mixed: the order is always mix,
then temper, then truncate, because tempering does not commute with mixing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn.

    Args:
        temperature: Divides the mixed log-probabilities; 0 takes the most probable token.
        top_k: Keeps this many most probable tokens; 0 keeps all.
        top_p: Keeps the most probable tokens that together have this probability; 1 keeps all.
        max_new_tokens: Length limit of a response, in tokens.

    Raises:
        ValueError: If a value is out of its range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    max_new_tokens: int = 96

    def __post_init__(self) -> None:
        """Refuses values out of range."""
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ValueError(f"temperature must be finite and at least 0, got {self.temperature}")
        if self.top_k < 0:
            raise ValueError(f"top_k must be at least 0 (0 keeps all tokens), got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1], got {self.top_p}")
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")


def choose(logprobs: Tensor, sampling: Sampling, generators: Sequence[torch.Generator]) -> Tensor:
    """One token per request.

    Each request draws from its own generator, so that it samples the same tokens whoever stands beside it in the batch.

    Args:
        logprobs: (B, V), the mixed distribution, untempered.
        sampling: Temperature and truncation.
        generators: B generators on the device of `logprobs`; unused at temperature 0.

    Returns:
        Token ids, (B,).

    Raises:
        ValueError: If a row of `logprobs` is no distribution, or there is not one generator per request.
    """
    # The maximum carries a NaN through, and is -inf where no token is possible.
    if not bool(logprobs.amax(dim=-1).isfinite().all()):
        raise ValueError("logprobs must hold a finite maximum for every request, got NaN or infinities only")
    if sampling.temperature == 0:
        return logprobs.argmax(dim=-1)
    if len(generators) != logprobs.shape[0]:
        raise ValueError(f"there must be one generator per request ({logprobs.shape[0]}), got {len(generators)}")
    probabilities = torch.softmax(_warped(logprobs, sampling), dim=-1)  # (B, V)
    pairs = zip(probabilities, generators, strict=True)
    return torch.cat([torch.multinomial(row, 1, generator=generator) for row, generator in pairs])


def _warped(logprobs: Tensor, sampling: Sampling) -> Tensor:
    """Tempered, then truncated log-probabilities, (B, V), not normalised."""
    warpers = LogitsProcessorList()
    if sampling.temperature != 1:
        warpers.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k > 0:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    # The warpers look at scores only; the token ids that their signature wants are never read.
    return warpers(torch.empty(logprobs.shape[0], 0, dtype=torch.long), logprobs)  # type: ignore[arg-type]
