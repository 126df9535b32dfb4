"""A soup with the weights that a controller gives on average: what is left of it without its eye for the token.

Knows mixtures and soups. Does not know what an answer is worth.
"""

from collections.abc import Sequence

import torch

from comparison.combinations import Combination, label
from comparison.decoding import drawn
from comparison.methods import asked_rows
from comparison.soups import Kitchen, Soup
from decoding.conversation import Conversation
from decoding.sampling import Sampling
from experts.soup.distilled import mean_weights
from experts.soup.recipes import RECIPES
from mixture import Mixture

NAME = "static-pcm"


class StaticSoup(Soup):
    """For each preference the exact soup with the controller's mean weights over its own answers to a few questions."""

    def __init__(self, mixture: Mixture, conversations: Sequence[Conversation], max_new_tokens: int) -> None:
        """Averages when a preference is first asked for.

        Args:
            mixture: With a controller.
            conversations: Questions that are not tested on.
            max_new_tokens: The most tokens of an answer to them.
        """
        super().__init__(NAME, Kitchen(mixture), RECIPES["exact"])
        self._mixture, self._conversations = mixture, conversations
        self._sampling = Sampling(max_new_tokens=max_new_tokens)
        self._known: dict[Combination, dict[str, float]] = {}

    @torch.no_grad()
    def weights(self, asked: Combination) -> dict[str, float]:
        """Gives the weight of each asked expert."""
        if asked not in self._known:
            mixture, count = self._mixture, len(self._conversations)
            input_ids, mask = mixture.encode(self._conversations)
            rows = asked_rows(mixture, asked, count)  # (B, K)
            seeds = (drawn(NAME, label(asked), place) for place in range(count))
            generators = [torch.Generator(input_ids.device).manual_seed(seed) for seed in seeds]
            found = mean_weights(mixture.emit(input_ids, mask, rows, self._sampling, generators))
            everybody = dict(zip(mixture.names, found.tolist(), strict=True))
            self._known[asked] = {name: weight for name, weight in everybody.items() if weight > 0}
        return self._known[asked]
