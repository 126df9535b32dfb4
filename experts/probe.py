"""A short trial of a bank: does every expert do something, and give numbers?

Knows how a bank reads. Does not know what an expert is for.
"""

import torch

from experts.reading import Bank
from experts.rows import Rows

PROBE_TOKENS = 16
"""Enough positions that an adapter which changes anything changes one of them."""


@torch.no_grad()
def refuse_silent_experts(bank: Bank) -> None:
    """Reads a few tokens with every expert.

    Args:
        bank: What shall be decoded with; an expert that is still to be trained changes nothing yet.

    Raises:
        ValueError: If an expert changes no logit, or gives something that is no number.
    """
    vocabulary = bank.base.config.get_text_config().vocab_size
    tokens = torch.arange(min(PROBE_TOKENS, vocabulary), device=bank.base.device).unsqueeze(0)  # (1, T)
    everyone = torch.ones(1, len(bank.names), device=tokens.device)
    reading = bank.read(tokens, torch.ones_like(tokens), Rows.of(everyone))
    for place, name in enumerate(bank.names):
        difference = (reading.experts[:, :, place] - reading.base).abs().max()
        if not bool(difference.isfinite()):
            raise ValueError(f"expert {name!r} must give finite logits on the base, got NaN or infinity")
        if not bool(difference > 0):
            raise ValueError(f"expert {name!r} must change the base's logits, it changes none of them: is it trained?")
