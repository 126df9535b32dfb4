"""Prompts with the answers to them, the form in which every reward is asked. Knows token ids, not what they say."""

from typing import NamedTuple

import torch
from torch import Tensor


class Answered(NamedTuple):
    """Prompts with one answer each; what is padding lies before the prompt, between the two or behind the answer."""

    input_ids: Tensor  # (N, T)
    attention_mask: Tensor  # (N, T)
    answer_lengths: Tensor  # (N,) how many of a row's last real tokens are its answer

    @classmethod
    def joined(cls, prompt_ids: Tensor, prompt_mask: Tensor, tokens: Tensor, mask: Tensor) -> "Answered":
        """Prompts `(N, P)` with the tokens `(N, R)` that answer them, each under its own mask."""
        whole = torch.cat([prompt_mask, mask.to(prompt_mask.dtype)], dim=1)
        return cls(torch.cat([prompt_ids, tokens], dim=1), whole, mask.sum(-1).long())

    @property
    def lengths(self) -> Tensor:
        """Real tokens of each row, `(N,)`."""
        return self.attention_mask.sum(-1)

    def left_aligned(self) -> "Answered":
        """The same rows with all padding at their end; no position of a token changes by it."""
        order = self.attention_mask.long().argsort(dim=1, descending=True, stable=True)
        ids, mask = self.input_ids.gather(1, order), self.attention_mask.long().gather(1, order)
        return Answered(ids, mask, self.answer_lengths)

    def rows(self, indices: Tensor) -> "Answered":
        """The given rows."""
        return Answered(*(column[indices] for column in self))

    def trimmed(self) -> "Answered":
        """Left-aligned rows without the columns that are padding in all of them."""
        longest = int(self.lengths.max())
        return Answered(self.input_ids[:, :longest], self.attention_mask[:, :longest], self.answer_lengths)

    def in_answer(self) -> Tensor:
        """True where a token of the answer stands, in left-aligned rows, `(N, T)`."""
        places = torch.arange(self.input_ids.shape[1], device=self.input_ids.device)
        lengths = self.lengths[:, None]
        return (places >= lengths - self.answer_lengths[:, None]) & (places < lengths)

    def repeats(self, run: int = 4) -> Tensor:
        """How many tokens of each answer end a run of tokens that stood in it before, left-aligned rows, `(N,)`.

        Args:
            run: tokens in a run.
        """
        inside = self.in_answer()
        if inside.shape[1] < run:
            return torch.zeros_like(self.answer_lengths)
        runs = self.input_ids.unfold(1, run, 1)  # (N, T - run + 1, run)
        powers = 1_000_003 ** torch.arange(run, device=runs.device)  # modulo 2^64
        keys = (runs * powers).sum(-1)  # equal runs have equal keys, different ones hardly ever
        whole = inside.unfold(1, run, 1).all(-1)
        outside = -1 - torch.arange(keys.shape[1], device=keys.device)
        ordered = torch.where(whole, keys, outside).sort(-1).values
        return (ordered.diff(dim=-1) == 0).sum(-1)
