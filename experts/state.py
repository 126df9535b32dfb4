"""What one batch of requests has read so far.

Knows rows, masks and caches. Does not know models, weights or rules.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import Cache

from experts.lag import Lag
from experts.rows import Rows


@dataclass
class State:
    """What one batch of requests has read so far.

    Args:
        rows: Which (request, expert) pairs run.
        asked: How much each expert is asked for (B, K).
        mask: 1 where a token counts, over the prompt and everything after it (B, S).
        cache: Keys and values of what was read.
        room: The most tokens that count of each request, prompt and response together (B,); None is no limit. What is
            read after them counts nothing: a request may wait, beyond its window, for others that go on.
        trunk_cache: Of the controller's own language model (B rows); None where it has none.
        lag: Where the experts are not read at every token; None where they are.
    """

    rows: Rows
    asked: Tensor
    mask: Tensor
    cache: Cache
    room: Tensor | None = None
    trunk_cache: Cache | None = None
    lag: Lag | None = None

    def await_reading(self, tokens: Tensor) -> None:
        """Extends the mask to tokens that are read after the prompt (B, t)."""
        if self.cache.get_seq_length() == 0:
            return  # the mask covers the prompt from the start
        counts = torch.ones_like(tokens)
        if self.room is not None:
            left = self.room - self.mask.sum(dim=-1)  # (B,)
            counts = (counts.cumsum(dim=-1) <= left.unsqueeze(-1)).to(tokens)
        self.mask = torch.cat([self.mask, counts.to(self.mask)], dim=-1)  # (B, S)

    def narrowed(self, requests: Sequence[int]) -> "State":
        """The state of these requests alone, by increasing places in the batch; the old one must not be used again."""
        kept = torch.tensor(requests, device=self.mask.device)
        self.cache.batch_select_indices(torch.isin(self.rows.requests, kept).nonzero().squeeze(-1))
        if self.trunk_cache is not None:
            self.trunk_cache.batch_select_indices(kept)
        asked, room = self.asked[kept], None if self.room is None else self.room[kept]
        lag = None if self.lag is None else self.lag.narrowed(kept)
        return State(self.rows.narrowed(kept), asked, self.mask[kept], self.cache, room, self.trunk_cache, lag)
