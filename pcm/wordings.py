"""Preferences in words, to be said in front of a prompt.

Knows examples of texts and what they ask for. Does not know prompts, tokens or models.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from pcm.reader.training import Example, read_examples


class Wordings:
    """Says a preference in words now and then.

    Args:
        examples: texts and what they ask for; none, and nothing is ever said.
        names: the K dimensions, in the experts' order.
        share: chance that a preference is said, in [0, 1].

    Raises:
        ValueError: if the share is no chance, or something shall be said and there are no words for it.
    """

    def __init__(self, examples: Sequence[Example] = (), names: Sequence[str] = (), share: float = 0.0) -> None:
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"the share of prompts that are told must be in [0, 1], got {share}")
        if share > 0 and not examples:
            raise ValueError(f"wordings must say what prompts are told, got none for a share of {share}")
        self.names, self.share = tuple(names), share
        self.texts: dict[frozenset[str], list[str]] = defaultdict(list)
        for example in examples:
            self.texts[example.asked].append(example.text)

    @classmethod
    def read(cls, path: str | Path | None, names: Sequence[str], share: float) -> "Wordings":
        """Gives those of a JSONL file with lines `{"text": str, "asked": {name: number}}`; none without a file."""
        return cls(read_examples(path) if path is not None else (), names, share)

    def draw(self, asked: Tensor, generator: torch.Generator) -> str | None:
        """Gives words for a preference (K,), or None: by chance, where there are none, or where they would not do.

        Words ask for something or do not: a preference that asks for less than all of something is never said.
        """
        if not self.share:
            return None
        chance, place = torch.rand(2, generator=generator).tolist()
        known = self.texts.get(frozenset(self.names[index] for index in asked.nonzero().flatten().tolist()), [])
        if chance >= self.share or not known or bool((asked[asked > 0] < 1).any()):
            return None
        return known[int(place * len(known))]
