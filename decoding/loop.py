"""The decoding loop: step, choose, emit, until everybody has stopped.

Knows the order of things. Does not know models, caches or rules: all of them are inside `step`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from decoding.choosing import Group, choose, ended, grouped
from decoding.history import History
from decoding.sampling import Sampling, one_for_each


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
        stopped: (B,) bool, whether the response ends by itself with this token, by an end token or a stop text.
        cut: (B,) bool, whether it ends here because it may not be longer.
        history: What was read and written, this token included.
        step: What `step` returned for this token.
    """

    tokens: Tensor
    logprobs: Tensor
    running: Tensor
    stopped: Tensor
    cut: Tensor
    history: History
    step: StepType

    @property
    def going(self) -> Tensor:
        """Whether the request goes on after this token, (B,) bool."""
        return self.running & ~self.stopped & ~self.cut

    @property
    def written(self) -> tuple[Tensor, Tensor, Tensor]:
        """Its tokens, where they count (1, else 0), and their log-probabilities, (B,) each."""
        return self.tokens, self.running.long(), self.logprobs


def decode(
    step: Callable[[Tensor], StepType],
    input_ids: Tensor,
    sampling: Sampling | Sequence[Sampling],
    generators: Sequence[torch.Generator],
    stop_ids: Sequence[int],
    pad_id: int,
    tokenizer: PreTrainedTokenizerBase | None = None,
    history: History | None = None,
) -> Iterator[Emitted[StepType]]:
    """Emits one token per request and turn, until each has stopped or reached its `max_new_tokens`.

    Args:
        step: Reads new tokens (B, t) after those it has read before, and says what comes next; keeps its own cache.
        input_ids: (B, T), what was not read yet; all of it goes into the first step.
        sampling: Temperature, truncation, length limit and the like: one for all requests or one for each.
        generators: One per request.
        stop_ids: Tokens that end a response; the ending token itself is emitted and counts.
        pad_id: What a stopped request emits.
        tokenizer: Needed where a sampling speaks of texts.
        history: What was read and written before, to which the length limit and all that looks back apply. None takes
            every one of `input_ids` for a token of the prompt.

    Returns:
        One `Emitted` per new token.

    Raises:
        ValueError: If there is not one generator (or sampling) per request, or a sampling does not fit the tokenizer.
    """
    groups = grouped(one_for_each(sampling, input_ids.shape[0]), generators, stop_ids, tokenizer)
    return _turns(step, input_ids, history or History.of(input_ids, torch.ones_like(input_ids)), groups, pad_id)


def _turns(
    step: Callable[[Tensor], StepType], tokens: Tensor, history: History, groups: Sequence[Group], pad_id: int
) -> Iterator[Emitted[StepType]]:
    """The loop itself: tokens (B, T), then (B, 1)."""
    running = torch.ones(tokens.shape[0], dtype=torch.bool, device=tokens.device)  # (B,)
    while bool(running.any()):
        now = step(tokens)
        chosen = choose(now.logprobs, history, groups)  # (B,)
        logprobs = now.logprobs.gather(-1, chosen.unsqueeze(-1)).squeeze(-1).masked_fill(~running, 0.0)
        chosen = chosen.masked_fill(~running, pad_id)
        history = history.extended(chosen)
        stopped, full = ended(history.response, groups)
        emitted = Emitted(chosen, logprobs, running, running & stopped, running & full & ~stopped, history, now)
        yield emitted
        running = emitted.going
        tokens = chosen.unsqueeze(-1)
