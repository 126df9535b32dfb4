"""What each request of a batch has read and written so far.

Knows token ids. Does not know what they mean, nor who looks back at them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class History:
    """Prompts and responses, side by side.

    Args:
        prompt: The prompts' ids (B, T), without any padding token: see `of`.
        response: What was chosen so far (B, n); whatever a request emits after its end does not matter any more.
    """

    prompt: Tensor
    response: Tensor

    @classmethod
    def of(cls, input_ids: Tensor, attention_mask: Tensor) -> "History":
        """Gives the history of requests that have written nothing yet.

        Padding is filled with the request's own first token: whoever asks which tokens a request has seen must not
        hear of one that it has not.

        Args:
            input_ids: Prompts, padded on the left (B, T).
            attention_mask: 1 where a token counts (B, T).
        """
        first = input_ids.gather(-1, attention_mask.long().argmax(dim=-1, keepdim=True))  # (B, 1)
        return cls(torch.where(attention_mask.bool(), input_ids, first), input_ids[:, :0])

    @property
    def tokens(self) -> Tensor:
        """Prompt and response (B, T + n)."""
        return torch.cat([self.prompt, self.response], dim=-1)

    def extended(self, chosen: Tensor) -> "History":
        """Gives the history one token later: chosen (B,)."""
        return History(self.prompt, torch.cat([self.response, chosen.unsqueeze(-1)], dim=-1))

    def narrowed(self, requests: Sequence[int]) -> "History":
        """Gives the history of these requests alone, by their places in the batch."""
        kept = list(requests)
        return History(self.prompt[kept], self.response[kept])
