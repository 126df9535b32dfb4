"""Training batches for the reader: examples taken apart, denied, joined, and set beside invented dimensions.

Knows words and tokens. Does not know the reader's parameters.

There are few ways to ask in the examples and many in the world. So here words that ask for nothing, and words that
nobody knows, are put in and left out at random and stand alone, short phrases are cut down to the word that carries
them, "not" before a phrase asks for the opposite pole, phrases are joined (the union is asked for), and beside the
known dimensions stand invented ones, described by words drawn at random, asked for only where a text quotes them.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from decoding.dimension import Dimension
from pcm.reader.model import describe, padded, token_ids

NEGATIONS = ("not", "not", "no", "never", "without", "nothing", "do not")
DENYING = frozenset({"not", "no", "never", "nothing", "without", "neither", "nor", "don't", "dont", "unless"})
TURNING = DENYING | {"avoid", "skip", "stop", "spare", "refrain", "hate", "too", "enough", "less", "more", "few"}
TURNING |= {"anything", "instead", "rather", "than"}
"""Words that turn what they stand beside: never put in at random, never left out."""
OWN = 4
"""Tokens that an invented dimension is asked for by."""
SORTED = 8
"""Batches whose texts are drawn together and dealt out by length."""
JOINERS = (",", ";", ".", "and", "also", "but")
UNKNOWN = (4, 10)
"""Letters of a word that nobody knows: drawn at random, shorter ones would often be known."""
LONGEST_PHRASE = 4
"""Words: what is longer has a sentence around it, which "not" does not turn."""


@dataclass(frozen=True)
class Example:
    """A text and the names of the dimensions it asks for, none for a text that asks for nothing."""

    text: str
    asked: frozenset[str]


@dataclass(frozen=True)
class Batch:
    """Texts, descriptions and targets: token ids and masks (B, L), (K', M), and 1 where asked (B, K')."""

    texts: Tensor
    text_mask: Tensor
    descriptions: Tensor
    description_mask: Tensor
    targets: Tensor


class Batches:
    """Draws batches.

    Args:
        tokenizer: gives the token ids.
        dimensions: the K known dimensions.
        examples: what to draw from.
        seed: of everything drawn.
        size: texts in a batch.
        invented: invented dimensions beside the known ones.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        dimensions: Sequence[Dimension],
        examples: Sequence[Example],
        seed: int,
        size: int = 64,
        invented: int = 4,
    ) -> None:
        self.tokenizer, self.random = tokenizer, random.Random(seed)
        self.size, self.invented = size, invented
        names = [dimension.name for dimension in dimensions]
        self.opposites = [names.index(d.opposite) if d.opposite in names else None for d in dimensions]
        self.words = [example.text.lower().split() for example in examples]
        self.asked = [frozenset(names.index(name) for name in example.asked) for example in examples]
        self.plain = [place for place in range(len(examples)) if self.is_plain(place)]
        self.deniable = [place for place in self.plain if self.opposites[min(self.asked[place])] is not None]
        self.carriers = carriers({place: (self.words[place], self.asked[place]) for place in self.plain})
        carrying = {bare(self.words[place][at]) for place, at in self.carriers.items()}
        self.neutral = sorted(shared(zip(self.words, self.asked, strict=True)) - carrying - TURNING)
        self.omissible = frozenset(self.neutral)
        self.letters = [letter for words in self.words for word in words for letter in word if letter.islower()]
        self.described = [token_ids(tokenizer, describe(dimension)) for dimension in dimensions]
        self.known_tokens: dict[str, list[int]] = {}
        self.waiting: list[list[tuple[list[int], frozenset[int]]]] = []

    def draw(self) -> Batch:
        """Gives one batch: texts against the known and the invented dimensions."""
        invented = [self.invent() for _ in range(self.invented)]
        targets = torch.zeros(self.size, len(self.described) + len(invented))
        rows = []
        for index, (row, asked) in enumerate(self.texts()):
            targets[index, list(asked)] = 1.0
            if invented and self.random.random() < 0.2:
                chosen = self.random.randrange(len(invented))
                row = self.joined(row, self.quoted(invented[chosen]))
                targets[index, len(self.described) + chosen] = 1.0
            rows.append(row)
        return Batch(*padded(rows), *padded([*self.described, *invented]), targets)

    def texts(self) -> list[tuple[list[int], frozenset[int]]]:
        """Gives as many texts as a batch holds, of like lengths, so that little of it is padding."""
        if not self.waiting:
            drawn = sorted((self.text() for _ in range(self.size * SORTED)), key=lambda text: len(text[0]))
            self.waiting = [drawn[start : start + self.size] for start in range(0, len(drawn), self.size)]
            self.random.shuffle(self.waiting)
        return self.waiting.pop()

    def text(self) -> tuple[list[int], frozenset[int]]:
        """Gives the tokens of one phrase, or of two joined, and what they ask for."""
        words, asked = self.phrase()
        if self.random.random() < 0.7:
            return self.tokens(words), asked
        other, also_asked = self.phrase()
        return self.joined(self.tokens(words), self.tokens(other)), asked | also_asked

    def phrase(self) -> tuple[list[str], frozenset[int]]:
        """Gives words and what they ask for: an example varied, cut down or denied, or words that ask for nothing."""
        kind = self.random.random()
        if self.deniable and kind < 0.08:
            return self.denied(self.random.choice(self.deniable))
        if self.plain and kind < 0.18:
            place = self.random.choice(self.plain)
            return self.cut(place), self.asked[place]
        if self.neutral and kind < 0.26:
            unknown = self.random.random()
            return [self.filler(unknown) for _ in range(self.random.randint(1, 8))], frozenset()
        place = self.random.randrange(len(self.words))
        return self.varied(place), self.asked[place]

    def denied(self, place: int) -> tuple[list[str], frozenset[int]]:
        """Gives a plain phrase, whole or cut down, behind a negation, which asks for the opposite pole."""
        opposite = self.opposites[min(self.asked[place])]
        assert opposite is not None  # that makes it deniable
        words = self.cut(place) if self.random.random() < 0.5 else self.varied(place)
        return [*self.random.choice(NEGATIONS).split(), *words], frozenset({opposite})

    def cut(self, place: int) -> list[str]:
        """Gives the word that carries a plain phrase with at most one neighbour on either side."""
        words, carrier = self.words[place], self.carriers[place]
        return words[max(0, carrier - self.random.randint(0, 1)) : carrier + 1 + self.random.randint(0, 1)]

    def varied(self, place: int, put_in: float = 0.1, left_out: float = 0.05) -> list[str]:
        """Gives an example's words with neutral ones put in and left out at random."""
        varied: list[str] = []
        for word in self.words[place]:
            if self.neutral and self.random.random() < put_in:
                varied.append(self.filler(unknown=0.1))
            if bare(word) not in self.omissible or self.random.random() >= left_out:
                varied.append(word)
        return varied

    def filler(self, unknown: float) -> str:
        """Gives a word that asks for nothing: a neutral one, or with chance `unknown` one that nobody knows."""
        if self.letters and self.random.random() < unknown:
            return "".join(self.random.choices(self.letters, k=self.random.randint(*UNKNOWN)))
        return self.random.choice(self.neutral)

    def is_plain(self, place: int) -> bool:
        """Whether an example is one short phrase that asks for one dimension and turns nothing."""
        words = [bare(word) for word in self.words[place]]
        return len(self.asked[place]) == 1 and 0 < len(words) <= LONGEST_PHRASE and TURNING.isdisjoint(words)

    def invent(self) -> list[int]:
        """Gives the description of an invented dimension: first its own tokens, then words that occur everywhere."""
        own = self.random.sample(range(len(self.tokenizer)), OWN)
        common = [self.random.choice(self.random.choice(self.words) or [""]) for _ in range(self.random.randint(3, 8))]
        return [*own, *self.tokens(common)]

    def quoted(self, invented: list[int]) -> list[int]:
        """Gives one to three of the own tokens of an invented dimension among up to three of the others."""
        own = self.random.sample(invented[:OWN], self.random.randint(1, 3))
        others = self.random.choices(invented[OWN:] or own, k=self.random.randint(0, 3))
        return self.random.sample([*own, *others], len(own) + len(others))

    def joined(self, first: list[int], second: list[int]) -> list[int]:
        """Gives two rows of tokens in either order with a joiner between."""
        if self.random.random() < 0.5:
            first, second = second, first
        return [*first, *self.tokens([self.random.choice(JOINERS)]), *second]

    def tokens(self, words: Sequence[str]) -> list[int]:
        """Gives the tokens of words, one word after the other."""
        for word in words:
            if word not in self.known_tokens:
                self.known_tokens[word] = token_ids(self.tokenizer, word)
        return [token for word in words for token in self.known_tokens[word]]


def shared(phrases: Iterable[tuple[list[str], frozenset[int]]]) -> set[str]:
    """Gives the words of which no dimension has more than half: they say little about what is asked for.

    Args:
        phrases: words and what they ask for; those that ask for several dimensions or for none are passed over.
    """
    uses: dict[str, Counter[int]] = defaultdict(Counter)
    for words, asked in phrases:
        if len(asked) == 1:
            for word in {bare(word) for word in words} - {""}:
                uses[word][min(asked)] += 1
    return {word for word, counts in uses.items() if max(counts.values()) <= counts.total() / 2}


def carriers(phrases: Mapping[int, tuple[list[str], frozenset[int]]]) -> dict[int, int]:
    """Gives for each phrase which of its words carries what it asks for.

    It is the word that most phrases with that wish have and few phrases with another; among equals the last one.

    Args:
        phrases: words and what they ask for, by any number.
    """
    together: Counter[tuple[str, frozenset[int]]] = Counter()
    alone: Counter[str] = Counter()
    for words, asked in phrases.values():
        for word in {bare(word) for word in words}:
            together[word, asked] += 1
            alone[word] += 1

    def carried(word: str, asked: frozenset[int]) -> float:
        return together[word, asked] * (together[word, asked] / alone[word]) ** 4

    return {
        number: max(range(len(words)), key=lambda at: (carried(bare(words[at]), asked), at))
        for number, (words, asked) in phrases.items()
    }


def bare(word: str) -> str:
    """Gives a word without the punctuation around it."""
    return word.strip(".,;:?!")
