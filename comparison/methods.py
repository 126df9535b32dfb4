"""The ways to personalise an answer, each an object with one verb: respond.

All of them decode through `Mixture.step`, in one loop. They differ in what the mixture is made of (no expert, a soup,
experts that are mixed), in what it is asked for and in what stands in the prompt. Knows conversations, mixtures and the
names of what is asked. Does not know what an answer is worth: `scorers.py` does.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from comparison.combinations import Combination, label, strengths
from comparison.decoding import Decoded, Request
from comparison.phrasing import Phrase, phrased, prompted
from comparison.soups import Kitchen, Soup
from decoding.conversation import Conversation
from decoding.sampling import Sampling
from experts.bank import ExpertBank
from experts.soup.recipes import RECIPES
from mixture import Mixture
from pcm.preference import Preference


class Method(Protocol):
    """A way to answer questions as a person prefers.

    Attributes:
        name: What reports call it.
        listens: Whether its answers depend on what is asked for; one that does not answers once for all preferences.
    """

    name: str
    listens: bool

    def respond(
        self, conversations: Sequence[Conversation], asked: Combination, sampling: Sampling, seed: int
    ) -> list[str]:
        """Gives one answer to each conversation.

        Args:
            conversations: What to answer (B).
            asked: Names of the dimensions that are asked for.
            sampling: Temperature, truncation and length limit.
            seed: Of the draws; an answer depends on its own conversation alone, not on the others in the list.
        """


class Base(Decoded):
    """The base alone, which nobody told what is preferred."""

    name = "base"
    listens = False

    def __init__(self, mixture: Mixture) -> None:
        """Takes the base out of a mixture."""
        self.mixture = without_experts(mixture)

    def request(self, conversations: Sequence[Conversation], asked: Combination, seed: int) -> Request:
        """Gives what the mixture reads; what is asked for is not heard."""
        return Request(self.mixture, conversations, torch.zeros(len(conversations), 0), (seed,))


class PromptPreference(Decoded):
    """The base alone, with the preference in words as the system message."""

    name = "prompt-preference"
    listens = True

    def __init__(self, mixture: Mixture, phrase: Phrase) -> None:
        """Takes the base out of a mixture, and the words to prompt it with."""
        self.mixture, self.phrase = without_experts(mixture), phrase

    def request(self, conversations: Sequence[Conversation], asked: Combination, seed: int) -> Request:
        """Gives what the mixture reads."""
        told = prompted(self.phrase, conversations, asked, seed)
        nobody = torch.zeros(len(conversations), 0)
        return Request(self.mixture, told, nobody, (seed, label(asked)))


class Expert(Decoded):
    """One expert alone: the anchored rule with weight exactly one on it, whatever is asked for."""

    listens = False

    def __init__(self, mixture: Mixture, dimension: str) -> None:
        """Takes one expert out of a mixture.

        Raises:
            ValueError: If there is no such expert.
        """
        if dimension not in mixture.names:
            raise ValueError(f"an expert must be one of {mixture.names}, got {dimension!r}")
        self.name, self.dimension = f"expert-{dimension}", dimension
        self.mixture = mixture.uniform("anchored")

    def request(self, conversations: Sequence[Conversation], asked: Combination, seed: int) -> Request:
        """Gives what the mixture reads; what is asked for is not heard."""
        alone = asked_rows(self.mixture, (self.dimension,), len(conversations))
        return Request(self.mixture, conversations, alone, (seed,))


class Mixed(Decoded):
    """The asked experts, mixed token by token as a mixture does it.

    With a controller this is the method of arXiv 2407.04181; without one it is the uniform mixture, its baseline.
    """

    listens = True

    def __init__(self, name: str, mixture: Mixture, phrase: Phrase | None = None) -> None:
        """Takes the mixture as it is.

        Args:
            name: What reports call it.
            mixture: Answers.
            phrase: Puts the preference into words for the prompt as well; None leaves the prompt alone.
        """
        self.name, self.mixture, self.phrase = name, mixture, phrase

    def request(self, conversations: Sequence[Conversation], asked: Combination, seed: int) -> Request:
        """Gives what the mixture reads."""
        rows = asked_rows(self.mixture, asked, len(conversations))
        told = prompted(self.phrase, conversations, asked, seed)
        return Request(self.mixture, told, rows, (seed, label(asked)))


class MixedByText(Decoded):
    """The same, asked in words: each question comes with a sentence that the mixture's reader has to understand."""

    listens = True

    def __init__(self, name: str, mixture: Mixture, phrase: Phrase, told: bool = False) -> None:
        """Takes a mixture with a reader.

        Args:
            name: What reports call it.
            mixture: Answers.
            phrase: Puts the preference into the words that it is asked with.
            told: Whether the same words stand in the prompt as well.
        """
        self.name, self.mixture, self.phrase, self.told = name, mixture, phrase, told

    def request(self, conversations: Sequence[Conversation], asked: Combination, seed: int) -> Request:
        """Gives what the mixture reads."""
        texts = phrased(self.phrase, conversations, asked, seed)
        with warnings.catch_warnings():  # what the reader misses is counted by `reading.py`
            warnings.filterwarnings("ignore", message="the preference must ask for at least one")
            rows = torch.stack([self.mixture.asked(Preference(text=text)) for text in texts])  # (B, K)
        read = prompted(self.phrase if self.told else None, conversations, asked, seed)
        return Request(self.mixture, read, rows, (seed, label(asked)))


def all_methods(mixture: Mixture, training: Phrase, held_out: Phrase) -> list[Method]:
    """Gives every method that a mixture can be compared as, baselines first.

    Args:
        mixture: With a controller; without a reader, nothing is asked in words.
        training: Puts preferences into words that training used: the base is prompted with these.
        held_out: Puts preferences into words that training never used: the reader is asked with these.

    Raises:
        ValueError: If the mixture has no controller.
    """
    if mixture.pcm is None:
        raise ValueError("the comparison needs a bundle with a controller, got one without: train it first")
    methods: list[Method] = [Base(mixture), PromptPreference(mixture, training)]
    methods += [Expert(mixture, name) for name in mixture.names]
    methods += [
        Soup("soup-uniform", Kitchen(mixture), RECIPES["exact"]),
        Mixed("fixed-uniform", mixture.uniform()),
    ]
    methods.append(Mixed(controlled_name(mixture), mixture))
    return methods if mixture.reader is None else [*methods, MixedByText("pcm-text", mixture, held_out)]


def controlled_name(mixture: Mixture) -> str:
    """Gives what reports call the mixture with its controller."""
    return f"pcm-{mixture.rule_name or 'custom'}"


def without_experts(mixture: Mixture) -> Mixture:
    """Gives the base alone, as the mixture of no expert: the anchored rule then adds nothing to it."""
    nobody = ExpertBank(mixture.bank.base)
    return replace(mixture.uniform("anchored"), bank=nobody, dimensions=(), reader=None, cap=None, safe=None)


def asked_rows(mixture: Mixture, names: Combination, count: int) -> Tensor:
    """Gives the same request for these dimensions `count` times, (count, K)."""
    return mixture.asked(Preference(weights=strengths(names))).expand(count, -1)
