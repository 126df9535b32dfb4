"""A preference as words in front of a conversation.

Knows conversations and names. Does not know who reads the words.
"""

import random
from collections.abc import Callable, Sequence

from comparison.combinations import Combination, label, strengths
from comparison.decoding import drawn
from decoding.conversation import Conversation, with_system

Phrase = Callable[[Combination, random.Random], str]
"""Puts a preference into words."""


def phrased(phrase: Phrase, conversations: Sequence[Conversation], asked: Combination, seed: int) -> list[str]:
    """Gives each conversation its own wording of the same preference, which does not say how strongly."""
    names = tuple(strengths(asked))
    return [phrase(names, random.Random(drawn(seed, label(asked), "wording", one))) for one in conversations]


def prompted(
    phrase: Phrase | None, conversations: Sequence[Conversation], asked: Combination, seed: int
) -> Sequence[Conversation]:
    """Gives the conversations, each behind a wording of the preference; as they are where nobody puts it into words."""
    if phrase is None:
        return conversations
    texts = phrased(phrase, conversations, asked, seed)
    return [with_system(text, one) for text, one in zip(texts, conversations, strict=True)]
