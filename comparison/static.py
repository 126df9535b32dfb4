"""A soup with the weights that a controller gives on average: what is left of it without its eye for the token.

Knows mixtures and soups. Does not know what an answer is worth.
"""

from comparison.archive import Archive, Run
from comparison.combinations import Combination, label, strengths
from comparison.decoding import drawn
from comparison.soups import Kitchen, Soup
from decoding.sampling import Sampling
from experts.soup.distilled import mean_weights
from experts.soup.recipes import RECIPES
from mixture import Mixture
from pcm.preference import Preference

NAME = "static-pcm"


class StaticSoup(Soup):
    """For each preference the exact soup with the controller's mean weights over its own answers to a few questions."""

    def __init__(self, mixture: Mixture, archive: Archive, max_new_tokens: int) -> None:
        """Averages when a preference is first asked for.

        Args:
            mixture: With a controller.
            archive: Has questions that are not tested on, and keeps the weights.
            max_new_tokens: The most tokens of an answer to them.
        """
        super().__init__(NAME, Kitchen(mixture), RECIPES["exact"])
        self._mixture, self._archive, self._sampling = mixture, archive, Sampling(max_new_tokens=max_new_tokens)

    def weights(self, asked: Combination) -> dict[str, float]:
        """Gives the weight of each asked expert."""
        run = Run(NAME, asked, self._sampling.temperature, 0)
        known = self._archive.noted(run, "weights")
        if known is None:
            conversations = self._archive.conversations
            seeds = [drawn(NAME, label(asked), place) for place in range(len(conversations))]
            wanted = self._mixture.asked(Preference(weights=strengths(asked)))  # (K,)
            known = mean_weights(self._mixture, conversations, wanted, self._sampling, seeds)
            self._archive.note(run, "weights", known)
        return dict(known)
