"""What answers are worth, as arrays of numbers: the only file of this room that knows the gold judge.

Knows questions, answers and scores. Does not know who answered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from comparison.combinations import Combination, strengths
from experts.miniature.corpus import Prompt
from experts.miniature.judge import Verdict, judge

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """What N answers are worth, each number in [0, 1].

    Args:
        quality: Whether an answer is right and to the point (N,).
        dimensions: How much it shows of each dimension, by name (N,).
    """

    quality: Array
    dimensions: dict[str, Array]

    def preference(self, asked: Combination) -> Array:
        """Gives the mean score on the asked dimensions (N,), each as heavy as it is asked for, whatever the quality."""
        wanted = strengths(asked)
        return np.average([self.dimensions[name] for name in wanted], axis=0, weights=[*wanted.values()])

    def utility(self, asked: Combination) -> Array:
        """Gives quality times the mean score on the asked dimensions (N,)."""
        return self.quality * self.preference(asked)


class Scorer(Protocol):
    """Says what answers are worth."""

    def score(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> Scores:
        """Gives the scores of one answer to each prompt."""


class GoldScorer:
    """The miniature world's judge, which reads answers against everything that is true."""

    def __init__(self, names: Sequence[str]) -> None:
        """Scores these dimensions."""
        self.names = tuple(names)

    def score(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> Scores:
        """Gives the scores of one answer to each prompt."""
        verdicts = [_verdict(prompt.topic, answer) for prompt, answer in zip(prompts, answers, strict=True)]
        dimensions = {name: np.array([verdict.dimensions[name] for verdict in verdicts]) for name in self.names}
        return Scores(np.array([verdict.quality for verdict in verdicts]), dimensions)


@cache
def _verdict(topic: str, answer: str) -> Verdict:
    """The judge's verdict, kept because the same answer is weighed against many preferences."""
    return judge(topic, answer)
