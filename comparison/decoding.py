"""From conversations to texts, many at once: the one loop that serves every method.

Knows a mixture and how to batch. Does not know methods, preferences or scores.
"""

import hashlib
import json
from collections.abc import Sequence

import torch
from torch import Tensor

from decoding.conversation import Conversation
from decoding.sampling import Sampling
from mixture import Mixture

BATCH = 216
"""Requests side by side."""


def answers(
    mixture: Mixture, conversations: Sequence[Conversation], asked: Tensor, sampling: Sampling, seed: tuple[object, ...]
) -> list[str]:
    """Gives the text of one answer to each conversation.

    Args:
        mixture: Answers.
        conversations: What to answer (B).
        asked: How much each expert is asked for (B, K).
        sampling: How tokens are drawn.
        seed: Together with a conversation it decides that conversation's draws, whoever stands beside it.

    Raises:
        ValueError: If a conversation and its answer do not fit the model's window.
    """
    texts = [""] * len(conversations)
    for places in batches(conversations):
        input_ids, mask = mixture.encode([conversations[place] for place in places])  # (b, T)
        generators = [_generator(drawn(*seed, conversations[place]), mixture) for place in places]
        rollout = mixture.rollout(input_ids, mask, asked[places], sampling, generators)
        for place, tokens, counts in zip(places, rollout.tokens, rollout.mask.bool(), strict=True):
            text = mixture.tokenizer.decode(
                tokens[counts], skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
            texts[place] = str(text)
    return texts


def batches(conversations: Sequence[Conversation]) -> list[list[int]]:
    """Gives the places of the conversations that are answered together: short with short, to save padding."""
    turns = {len(conversation) for conversation in conversations}
    alike = [[place for place, one in enumerate(conversations) if len(one) == count] for count in sorted(turns)]
    return [group[start : start + BATCH] for group in alike for start in range(0, len(group), BATCH)]


def drawn(*parts: object) -> int:
    """Gives a seed that is a fingerprint of these parts, equal on every machine."""
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:7], "big")


def _generator(seed: int, mixture: Mixture) -> torch.Generator:
    return torch.Generator(device=mixture.bank.base.device).manual_seed(seed)
