"""How often a mixture's reader understands exactly what was asked for in words it was never trained on.

Held-out phrasings combine anew the words of those that the base was trained on. So do development ones, but the reader
was made with a look at its errors on them, so their figures flatter it. Unseen ones use words that the base met in no
phrasing. Of none of the held-out and unseen ones has the reader learned a text with more than half its words. All are
read alone (every phrasing in every frame) and combined (one pole of each axis). Words of random letters, alone and
three together, ask for nothing. Knows texts with what they ask for and the reader, no experts and no answers.
"""

import random
import string
from collections.abc import Iterator, Sequence

from comparison.combinations import Combination
from experts.miniature.corpus import PHRASINGS, preference
from experts.miniature.world import dimension_data
from pcm.reader.model import PreferenceReader

Example = tuple[str, frozenset[str]]
"""A text, and exactly what it asks for."""

SPLITS = {"held-out": "test", "development": "development", "unseen": "unseen"}
"""What reports call a split of the phrasings, and what the corpus calls it."""
NONSENSE = "random letters"
"""What reports call words that nobody knows."""


def accuracies(
    reader: PreferenceReader, preferences: Sequence[Combination], *, per_preference: int = 64, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Gives the share of texts of which the reader finds exactly the set that is asked for.

    Args:
        reader: Of a mixture.
        preferences: The combinations to ask for.
        per_preference: Texts for each of them.
        seed: Of their wordings.

    Returns:
        For each split and for nonsense, the share among the texts `alone` and among the `combined` ones.
    """
    names = [dimension.name for dimension in reader.dimensions]
    shares = {
        title: {
            "alone": exact_share(reader, list(alone(names, split))),
            "combined": exact_share(reader, list(combined(preferences, split, per_preference, seed))),
        }
        for title, split in SPLITS.items()
    }
    single, three = (exact_share(reader, list(nonsense(words, seed))) for words in (1, 3))
    return {**shares, NONSENSE: {"alone": single, "combined": three}}


def alone(names: Sequence[str], split: str) -> Iterator[Example]:
    """Gives every phrasing of each dimension in every frame."""
    data = dimension_data()
    for name in names:
        for phrasing in data["dimensions"][name][PHRASINGS[split]]:
            for frame in data["frames"]:
                yield frame.format(phrasing), frozenset({name})


def combined(preferences: Sequence[Combination], split: str, count: int, seed: int) -> Iterator[Example]:
    """Gives `count` texts for each preference, in random order, wording and joint."""
    rng = random.Random(f"reading {split} {seed}")
    for asked in preferences:
        for _ in range(count):
            yield preference(asked, rng, split=split).text, frozenset(asked)


def nonsense(words: int, seed: int, count: int = 512) -> Iterator[Example]:
    """Gives `count` texts of so many words, each of three to nine random letters, that ask for nothing."""
    rng = random.Random(f"nonsense {words} {seed}")
    for _ in range(count):
        letters = ("".join(rng.choices(string.ascii_lowercase, k=rng.randint(3, 9))) for _ in range(words))
        yield " ".join(letters), frozenset()


def exact_share(reader: PreferenceReader, examples: Sequence[Example]) -> float:
    """Gives the share of examples of which exactly the asked dimensions are at least one half probable."""
    names = [dimension.name for dimension in reader.dimensions]
    probabilities = reader.probabilities([text for text, _ in examples])  # (B, K)
    found = [{names[place] for place, heard in enumerate(row) if heard} for row in (probabilities >= 0.5).tolist()]
    return sum(heard == asked for heard, (_, asked) in zip(found, examples, strict=True)) / len(examples)
