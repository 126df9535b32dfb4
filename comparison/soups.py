"""Soups as methods: one adapter for each preference, cooked when it is asked for.

Knows mixtures and recipes. Does not know what an answer is worth. Every soup can be held against the exact sum of its
experts' updates.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from comparison.combinations import Combination, label, strengths
from comparison.decoding import Decoded, Request
from comparison.phrasing import Phrase, phrased, with_system
from decoding.conversation import Conversation
from decoding.dimension import Dimension
from experts.adapters import Adapter
from experts.bank import ExpertBank
from experts.soup.check import Finding, checked
from experts.soup.recipes import Recipe
from mixture import Mixture

POT = "soup"


class Kitchen:
    """One place on a mixture's base where one soup at a time is kept warm, for all methods that want one."""

    def __init__(self, mixture: Mixture) -> None:
        """Takes base and experts of a mixture."""
        self.bank, self._pot = mixture.bank, ExpertBank(mixture.bank.base)
        self._mixture, self._dimension = mixture, Dimension(POT, "A soup.")
        self._inside: tuple[object, ...] | None = None

    def serve(self, recipe: Recipe, weights: Mapping[str, float]) -> Mixture:
        """Gives the mixture whose only expert is this soup, good until the next call.

        Args:
            recipe: How to cook.
            weights: Of each expert by name.
        """
        wanted = (recipe.cook, tuple(sorted(weights.items())))
        if self._inside != wanted:
            with torch.no_grad():
                self._fill(Adapter(*recipe.cook(self.bank, weights)))
            self._inside = wanted
        return replace(
            self._mixture, bank=self._pot, dimensions=(self._dimension,), rule="anchored", pcm=None, reader=None
        )

    def _fill(self, adapter: Adapter) -> None:
        if POT in self._pot.names:
            self._pot.replace(POT, adapter)
        else:
            self._pot.add(POT, adapter.config, adapter.state)


class Soup(Decoded):
    """The asked experts merged into one, with or without the preference in the prompt."""

    listens = True

    def __init__(
        self,
        name: str,
        kitchen: Kitchen,
        recipe: Recipe,
        scale: float = 1.0,
        shares: Mapping[str, float] | None = None,
        phrase: Phrase | None = None,
    ) -> None:
        """Cooks in a kitchen that others use too.

        Args:
            name: What reports call it.
            kitchen: Has the experts.
            recipe: How to merge.
            scale: What the weights of n asked experts sum to, while all shares are one.
            shares: Multiplies the weight of each expert by name; one where it is not given.
            phrase: Puts the preference into words for the prompt; None leaves the prompt alone.
        """
        self.name, self.kitchen, self.recipe = name, kitchen, recipe
        self.scale, self.shares, self.phrase = scale, dict(shares or {}), phrase

    def weights(self, asked: Combination) -> dict[str, float]:
        """Gives the weight of each asked expert."""
        wanted = strengths(asked)
        return {name: self.scale * self.shares.get(name, 1.0) * wanted[name] / len(wanted) for name in wanted}

    @torch.no_grad()
    def checked(self, preferences: Sequence[Combination]) -> Finding:
        """Gives how far the worst of these preferences' soups is from the exact sum of its experts' updates."""
        bank, found = self.kitchen.bank, []
        for asked in preferences:
            weights = self.weights(asked)
            found.append(checked(bank, weights, *self.recipe.cook(bank, weights), self.recipe.exact))
        return max(found, key=lambda one: (math.isnan(one.error), one.error))

    def request(self, conversations: Sequence[Conversation], asked: Combination, seed: int) -> Request:
        """Gives what the mixture reads."""
        soup = self.kitchen.serve(self.recipe, self.weights(asked))
        if self.phrase is not None:
            texts = phrased(self.phrase, conversations, asked, seed)
            conversations = [with_system(text, one) for text, one in zip(texts, conversations, strict=True)]
        return Request(soup, conversations, torch.ones(len(conversations), 1), (seed, label(asked)))
