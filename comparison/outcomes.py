"""What one method's answers at one temperature are worth, as arrays with the prompts first.

Knows scores by what was asked and by seed. Does not know texts, files or how a number is shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from comparison.combinations import Combination, strengths
from comparison.scorers import Scores

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """Scores of one method at one temperature.

    Args:
        scores: For each of the P preferences, those of its answers with each of the S seeds, to the same N prompts.
            A method that does not listen has the same answers, and so the same scores, under every preference.
    """

    scores: Mapping[Combination, Sequence[Scores]]

    def utility(self) -> Array:
        """Gives quality times the mean of what was asked for (N, P, S)."""
        return np.stack([self.utility_of(asked) for asked in self.scores], axis=1)

    def preference(self) -> Array:
        """Gives the mean of what was asked for, whatever the quality (N, P, S)."""
        return np.stack([self.preference_of(asked, asked) for asked in self.scores], axis=1)

    def quality(self) -> Array:
        """Gives the quality (N, P, S)."""
        return np.stack([self.quality_of(asked) for asked in self.scores], axis=1)

    def utility_of(self, asked: Combination) -> Array:
        """Gives the utility under one preference (N, S)."""
        return _by_seed([one.utility(asked) for one in self.scores[asked]])

    def preference_of(self, answered: Combination, asked: Combination) -> Array:
        """Gives the score on what `asked` asks for, of the answers that were given for `answered` (N, S)."""
        return _by_seed([one.preference(asked) for one in self.scores[answered]])

    def quality_of(self, answered: Combination) -> Array:
        """Gives the quality of the answers that were given for `answered` (N, S)."""
        return _by_seed([one.quality for one in self.scores[answered]])

    def dimension(self, name: str) -> Array:
        """Gives the score on one dimension, under the preferences that ask for it (N, P', S)."""
        asking = [seeds for asked, seeds in self.scores.items() if name in strengths(asked)]
        return np.stack([_by_seed([one.dimensions[name] for one in seeds]) for seeds in asking], axis=1)


def _by_seed(values: Sequence[Array]) -> Array:
    """S arrays (N,) as one (N, S)."""
    return np.stack(values, axis=1)
