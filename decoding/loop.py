"""The decoding loop: step, choose, emit, until everybody has stopped.

Knows the order of things. Does not know models, caches or rules: all of them are inside `step`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from decoding.sampling import Sampling, choose


class StepLike(Protocol):
    """What the loop needs to know of one step."""

    @property
    def logprobs(self) -> Tensor:
        """Mixed log-probabilities of the next token, (B, V)."""


StepType = TypeVar("StepType", bound=StepLike)


@dataclass(frozen=True)
class Emitted(Generic[StepType]):
    """One token for each request.

    Args:
        tokens: (B,), the padding token where the request had stopped before.
        logprobs: (B,), log-probability of the token under the untempered mixture, in nats; 0 where it had stopped.
        running: (B,) bool, whether the request was still running before this token: where the token counts.
        step: What `step` returned for this token.
    """

    tokens: Tensor
    logprobs: Tensor
    running: Tensor
    step: StepType


def decode(
    step: Callable[[Tensor], StepType],
    input_ids: Tensor,
    sampling: Sampling,
    generators: Sequence[torch.Generator],
    stop_ids: Sequence[int],
    pad_id: int,
) -> Iterator[Emitted[StepType]]:
    """Emits one token per request and turn, until all have stopped or `max_new_tokens` is reached.

    Args:
        step: Reads new tokens (B, t) after those it has read before, and says what comes next; keeps its own cache.
        input_ids: (B, T), the prompts; all of them go into the first step.
        sampling: Temperature, truncation and length limit.
        generators: One per request.
        stop_ids: Tokens that end a response; the ending token itself is emitted and counts.
        pad_id: What a stopped request emits.

    Yields:
        One `Emitted` per new token.
    """
    stops = torch.tensor(list(stop_ids), dtype=torch.long, device=input_ids.device)
    running = torch.ones(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)  # (B,)
    tokens = input_ids  # (B, T), then (B, 1)
    for _ in range(sampling.max_new_tokens):
        now = step(tokens)
        chosen = choose(now.logprobs, sampling, generators)  # (B,)
        logprobs = now.logprobs.gather(-1, chosen.unsqueeze(-1)).squeeze(-1).masked_fill(~running, 0.0)
        chosen = chosen.masked_fill(~running, pad_id)
        yield Emitted(chosen, logprobs, running, now)
        running = running & ~torch.isin(chosen, stops)
        if not bool(running.any()):
            return
        tokens = chosen.unsqueeze(-1)
