"""What one soup can keep of weights that change at every token: their mean.

Knows what a mixture decodes. Does not know where weights come from.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from decoding.conversation import Conversation
from decoding.loop import Emitted
from decoding.sampling import Sampling
from decoding.step import Step

BATCH = 64
"""Responses that are decoded side by side."""
NORMALISING = ("probability", "logit")
"""Rules to which only the ratio of weights matters."""


class Decodes(Protocol):
    """A mixture, as far as it is needed here."""

    @property
    def names(self) -> list[str]:
        """The experts' names."""

    @property
    def rule_name(self) -> str | None:
        """The mixing rule's name."""

    def encode(self, conversations: Sequence[Conversation]) -> tuple[Tensor, Tensor]:
        """Gives token ids and mask (B, T)."""

    def emit(
        self, input_ids: Tensor, mask: Tensor, asked: Tensor, sampling: Sampling, generators: Sequence[torch.Generator]
    ) -> Iterator[Emitted[Step]]:
        """Gives one token of each response at a time."""


@torch.no_grad()
def mean_weights(
    mixture: Decodes, conversations: Sequence[Conversation], asked: Tensor, sampling: Sampling, seeds: Sequence[int]
) -> dict[str, float]:
    """Gives the mean weight of each expert that is asked for, over all tokens of the responses.

    They sum to one under rules that would make them do so.

    Args:
        mixture: Answers.
        conversations: What it answers, at least one (N).
        asked: How much each expert is asked for (K,).
        sampling: How tokens are drawn.
        seeds: One for each conversation (N).
    """
    total, count = torch.zeros(len(asked), dtype=torch.float64), 0
    for start in range(0, len(conversations), BATCH):
        input_ids, mask = mixture.encode(conversations[start : start + BATCH])
        generators = [torch.Generator(input_ids.device).manual_seed(one) for one in seeds[start : start + BATCH]]
        for turn in mixture.emit(input_ids, mask, asked.expand(len(input_ids), -1), sampling, generators):
            total += turn.step.log_weights[turn.running].exp().sum(dim=0).double().cpu()
            count += int(turn.running.sum())
    means = total / (total.sum() if mixture.rule_name in NORMALISING else count)
    return {name: weight for name, weight in zip(mixture.names, means.tolist(), strict=True) if weight > 0}
