"""Whole responses in stages: those that have ended leave the batch every few tokens, and the others go on without them.

Responses end at very different lengths, and a batch that stays together carries everybody to the end of the longest:
in stages the same tokens cost about half. Knows the loop and that a state can be narrowed. Does not know models.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from decoding.history import History
from decoding.loop import decode
from decoding.sampling import Sampling
from decoding.step import Rollout, Step

STAGE = 8
"""Tokens of a stage."""


class Narrowing(Protocol):
    """What a batch of requests has read."""

    def narrowed(self, requests: Sequence[int]) -> Self:
        """Gives the state of these requests alone, by their places in the batch; the old one is not used again."""


StateType = TypeVar("StateType", bound=Narrowing)


def in_stages(
    step: Callable[[StateType, Tensor], Step],
    state: StateType,
    input_ids: Tensor,
    samplings: Sequence[Sampling],
    generators: Sequence[torch.Generator],
    stop_ids: Sequence[int],
    pad_id: int,
    tokenizer: PreTrainedTokenizerBase,
    history: History,
) -> Rollout:
    """Gives the rollout whose tokens the loop would emit for the whole batch; arguments are those of `loop.decode`.

    Args:
        step: Reads new tokens (b, t) after those that a state has read, and says what comes next.
        state: Of requests of which nothing is read yet.
        input_ids: Prompts (B, T).
        samplings: One for each request.
        generators: One for each request; none where all are greedy.
        stop_ids: Tokens that end a response.
        pad_id: What stands after an end.
        tokenizer: For samplings that speak of texts.
        history: Of the prompts.
    """
    running, unread = list(range(len(input_ids))), input_ids  # places of the requests, (b, t) tokens to read
    rollout = Rollout.empty(input_ids)
    while running:
        among = [generators[place] for place in running] if generators else []
        chosen = [samplings[place] for place in running]
        turns = decode(partial(step, state), unread, chosen, among, stop_ids, pad_id, tokenizer, history)
        written = []
        for last in islice(turns, STAGE):
            written.append(last.written)  # and not all of it: its step holds whole distributions
        rollout = rollout.extended(Rollout.of(written), running, pad_id)
        going = last.going.nonzero().squeeze(-1).tolist()  # rows of this stage
        history = last.history.narrowed(going)
        if 0 < len(going) < len(running):
            state = state.narrowed(going)
        running, unread = [running[row] for row in going], last.tokens[going].unsqueeze(-1)
    return rollout
