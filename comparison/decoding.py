"""From conversations to texts, many at once: the one loop that serves every method.

Knows a mixture and how to batch. Does not know what an answer is worth.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from comparison.combinations import Combination
from decoding.conversation import Conversation
from decoding.sampling import Sampling
from mixture import Mixture

T = TypeVar("T")

BATCH = 384
"""Requests side by side, at most."""
NUMBERS = 2**27
"""Log-probabilities that are held at once, at most: half a gigabyte, of which a step makes some copies."""


class Request(NamedTuple):
    """What one mixture reads to answer conversations.

    Args:
        mixture: Answers.
        conversations: As the mixture reads them (B).
        asked: How much each expert is asked for (B, K).
        seed: Together with a conversation it decides that conversation's draws, whoever stands beside it.
        tempering: Multiplies the temperature of the draws.
    """

    mixture: Mixture
    conversations: Sequence[Conversation]
    asked: Tensor
    seed: tuple[object, ...]
    tempering: float = 1.0


def answers(request: Request, sampling: Sampling) -> list[str]:
    """Gives the text of one answer to each conversation, as `answers_together`."""
    return answers_together([request], sampling)[0]


def answers_together(requests: Sequence[Request], sampling: Sampling) -> list[list[str]]:
    """Gives the texts that answer each request; those of one mixture are decoded side by side.

    Args:
        requests: Who answers what.
        sampling: How tokens are drawn.

    Raises:
        ValueError: If a conversation and its answer do not fit the model's window.
    """
    alike: dict[tuple[int, float], list[int]] = {}
    for place, request in enumerate(requests):
        alike.setdefault((id(request.mixture), request.tempering), []).append(place)
    texts: dict[int, list[str]] = {}
    for places in alike.values():
        texts |= zip(places, _decoded([requests[place] for place in places], sampling), strict=True)
    return [texts[place] for place in range(len(requests))]


def _decoded(requests: Sequence[Request], sampling: Sampling) -> list[list[str]]:
    """The answers to requests of one mixture at one temperature."""
    mixture = requests[0].mixture
    tempered = replace(sampling, temperature=sampling.temperature * requests[0].tempering)
    everybody = [(one, conversation) for one in requests for conversation in one.conversations]
    asked = torch.cat([one.asked for one in requests])
    texts = [""] * len(everybody)
    for places in batches([conversation for _, conversation in everybody], wide(mixture)):
        input_ids, mask = mixture.encode([everybody[place][1] for place in places])  # (b, T)
        generators = [_generator(drawn(*everybody[place][0].seed, everybody[place][1]), mixture) for place in places]
        rollout = mixture.rollout(input_ids, mask, asked[list(places)], tempered, generators)
        for place, tokens, counts in zip(places, rollout.tokens, rollout.mask.bool(), strict=True):
            text = mixture.tokenizer.decode(
                tokens[counts], skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
            texts[place] = str(text)
    following = iter(texts)
    return [list(islice(following, len(one.conversations))) for one in requests]


class Decoded(ABC):
    """A way to answer that draws every token from one mixture."""

    name: str
    listens: bool

    at_once: int | None = None
    """How many preferences `requests` may be asked for together; None is any number."""

    @abstractmethod
    def request(self, conversations: Sequence[Conversation], asked: Combination, seed: int) -> Request:
        """Gives what the mixture reads; arguments are those of `respond`."""

    def requests(
        self, conversations: Sequence[Conversation], preferences: Sequence[Combination], seed: int
    ) -> list[Request]:
        """Gives what is read under each preference, of one mixture where that can be."""
        return [self.request(conversations, asked, seed) for asked in preferences]

    def respond(
        self, conversations: Sequence[Conversation], asked: Combination, sampling: Sampling, seed: int
    ) -> list[str]:
        """Gives one answer to each conversation."""
        return answers(self.request(conversations, asked, seed), sampling)


def wide(mixture: Mixture, tokens: int = 1) -> int:
    """Gives how many requests can stand side by side in memory.

    Args:
        mixture: Has so many log-probabilities at each token: one for each word and reader.
        tokens: Of each request that are read at once with all their log-probabilities.
    """
    words = mixture.bank.base.config.get_text_config().vocab_size
    return max(1, min(BATCH, NUMBERS // (tokens * words * (len(mixture.names) + 1))))


def batches(conversations: Sequence[Conversation], width: int = BATCH) -> list[Sequence[int]]:
    """Gives the places of the conversations that are answered together: short with short, to save padding."""
    turns = {len(conversation) for conversation in conversations}
    alike = [[place for place, one in enumerate(conversations) if len(one) == count] for count in sorted(turns)]
    return [part for group in alike for part in in_parts(group, width)]


def in_parts(whole: Sequence[T], most: int | None) -> list[Sequence[T]]:
    """Gives the parts, in their order and of at most so many; None is no limit."""
    size = most or max(1, len(whole))
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def drawn(*parts: object) -> int:
    """Gives a seed that is a fingerprint of these parts, equal on every machine."""
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:7], "big")


def _generator(seed: int, mixture: Mixture) -> torch.Generator:
    return torch.Generator(device=mixture.bank.base.device).manual_seed(seed)
