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
from comparison.phrasing import Phrase, prompted
from comparison.side_by_side import SideBySide
from decoding.conversation import Conversation
from decoding.dimension import Dimension
from experts.adapters import UP, Adapter
from experts.soup.check import Finding, checked
from experts.soup.recipes import Cooked, Recipe
from mixture import Mixture

ROOM = 2**31
"""Bytes of the soups that stand beside each other in a kitchen, at most; as they were cooked, as much again."""


class Kitchen:
    """One place on a mixture's base where the soups of one method at a time are kept warm, for all that want some."""

    def __init__(self, mixture: Mixture) -> None:
        """Takes base and experts of a mixture, without its cap: a merged model has nobody to be held near to."""
        self.bank, self._pot = mixture.bank, SideBySide(mixture.bank.base)
        self._alone = replace(mixture.uniform("anchored"), reader=None, cap=None, safe=None)
        self._inside: tuple[object, ...] | None = None
        self._cooked: dict[tuple[object, ...], Cooked] = {}
        largest = 2 * sum(parameter.nbytes for parameter in mixture.bank.base.parameters())  # of full rank
        self.room = max(1, ROOM // largest)

    def serve(self, recipe: Recipe, weights: Sequence[Mapping[str, float]]) -> Mixture:
        """Gives the mixture whose experts are these soups, good until the next call.

        Args:
            recipe: How to cook.
            weights: For each soup those of its experts by name.
        """
        wanted = (recipe, *(tuple(sorted(one.items())) for one in weights))
        if self._inside != wanted:
            self._fill([Adapter(*self.cooked(recipe, one)) for one in weights])
            self._inside = wanted
        dimensions = tuple(Dimension(name, "A soup.") for name in self._pot.names)
        return replace(self._alone, bank=self._pot, dimensions=dimensions)

    @torch.no_grad()
    def cooked(self, recipe: Recipe, weights: Mapping[str, float]) -> Cooked:
        """Gives a soup as an adapter; one that is larger or smaller than one of the last is not cooked anew.

        As many as there is room for are remembered; the experts must stay what they are.

        Args:
            recipe: How to cook.
            weights: Of the experts by name.
        """
        size = max(map(abs, weights.values()), default=0.0) or 1.0
        unit = tuple((name, weight / size) for name, weight in sorted(weights.items()))
        if (recipe, unit) not in self._cooked:
            while len(self._cooked) >= self.room:
                del self._cooked[next(iter(self._cooked))]
            self._cooked[recipe, unit] = recipe.cook(self.bank, dict(unit))
        config, state = self._cooked[recipe, unit]
        return config, {key: factor * size**recipe.degree if UP in key else factor for key, factor in state.items()}

    def _fill(self, soups: Sequence[Adapter]) -> None:
        for name in list(self._pot.names):
            self._pot.remove(name)
        for number, soup in enumerate(soups):
            self._pot.add(f"soup-{number}", soup.config, soup.state)


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
        self.at_once = kitchen.room

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
            found.append(checked(bank, weights, *self.kitchen.cooked(self.recipe, weights), self.recipe.exact))
        return max(found, key=lambda one: (math.isnan(one.error), one.error))

    def request(self, conversations: Sequence[Conversation], asked: Combination, seed: int) -> Request:
        """Gives what the soup reads."""
        return self.requests(conversations, [asked], seed)[0]

    def requests(
        self, conversations: Sequence[Conversation], preferences: Sequence[Combination], seed: int
    ) -> list[Request]:
        """Gives what the soup of each preference reads, all of them side by side on one base."""
        mixture = self.kitchen.serve(self.recipe, [self.weights(asked) for asked in preferences])
        found = []
        for asked, row in zip(preferences, torch.eye(len(preferences)), strict=True):
            told = prompted(self.phrase, conversations, asked, seed)
            found.append(Request(mixture, told, row.expand(len(told), -1), (seed, label(asked))))
        return found
