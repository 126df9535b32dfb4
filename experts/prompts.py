"""Prompts for training: what they ask for, joined with their answers, handed out in shuffled batches.

Knows padding on the left and the order of prompts. Does not know who answers.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from decoding.answered import Answered
from decoding.conversation import Conversation, encode_prompts
from decoding.jsonl import read_rows


def read_asked(path: str | Path) -> list[list[str]]:
    """What each row of a prompt file asks for, `{"messages": ..., "asked": ["friendly", ...]}`; mostly nothing."""
    return read_rows(path, lambda row: list(row.get("asked", ())))


def pad_left(sequences: Sequence[Tensor], pad_id: int) -> tuple[Tensor, Tensor]:
    """Token ids `(B, P)` padded on the left, with their mask `(B, P)`."""
    ids = pad_sequence(list(sequences), batch_first=True, padding_value=pad_id, padding_side="left")
    ones = [torch.ones_like(sequence) for sequence in sequences]
    return ids, pad_sequence(ones, batch_first=True, padding_side="left")


def answered(
    tokenizer: PreTrainedTokenizerBase,
    conversations: Sequence[Conversation],
    answers: Sequence[str],
    longest: int | None = None,
) -> Answered:
    """Conversations with an answer each, as a reward reads them.

    Args:
        tokenizer: Of the reward's base.
        conversations: What was answered.
        answers: One to each; an end is set behind it.
        longest: An answer of as many tokens was cut off: it gets no end.
    """
    asked = encode_prompts(tokenizer, conversations)
    told = [torch.tensor(ids, dtype=torch.long) for ids in tokenizer(answers, add_special_tokens=False)["input_ids"]]
    end = torch.tensor([tokenizer.eos_token_id])
    told = [ids if longest is not None and len(ids) >= longest else torch.cat([ids, end]) for ids in told]
    ids, mask = pad_left([torch.cat(pair) for pair in zip(asked, told, strict=True)], tokenizer.pad_token_id)
    return Answered(ids, mask, torch.tensor([len(tokens) for tokens in told]))


class PromptStream:
    """Batches of prompt numbers, every prompt once per pass in a new order; its position belongs to the checkpoint.

    The order is a function of the seed and the pass alone, so a stream that is told its position goes on exactly.
    """

    def __init__(self, prompts: int, batch_size: int, batches: int, seed: int = 0) -> None:
        """Streams `batches` batches of `batch_size` numbers below `prompts`.

        Raises:
            ValueError: if a batch is larger than the number of prompts.
        """
        if not 0 < batch_size <= prompts:
            raise ValueError(f"a batch must hold between 1 and all {prompts} prompts, got {batch_size}")
        self.prompts, self.batch_size, self.batches, self.seed = prompts, batch_size, batches, seed
        self.position = 0

    def __len__(self) -> int:
        """How many batches there are in all."""
        return self.batches

    def __iter__(self) -> Iterator[Tensor]:
        """The remaining batches, `(batch_size,)` each."""
        while self.position < self.batches:
            batch = self.batch(self.position)
            self.position += 1
            yield batch

    def batch(self, number: int) -> Tensor:
        """The prompt numbers of one batch, `(batch_size,)`; a pass leaves out the prompts that fill no whole batch."""
        per_pass = self.prompts // self.batch_size
        passes, place = divmod(number, per_pass)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + passes)
        order = torch.randperm(self.prompts, generator=generator)
        return order[place * self.batch_size :][: self.batch_size]

    def state_dict(self) -> dict[str, int]:
        """The position, for a checkpoint."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes to the position of a checkpoint."""
        self.position = state["position"]
