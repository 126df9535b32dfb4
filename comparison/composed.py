"""Methods that are a choice among other methods' answers: nothing is decoded for them.

Knows outcomes and texts of answers. Does not know models.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from comparison.combinations import Combination
from comparison.outcomes import Outcome
from comparison.scorers import Scores


@dataclass(frozen=True)
class Answered:
    """The answers of one method at one temperature, and what they are worth.

    Args:
        outcome: Scores by preference and seed.
        texts: For each preference and seed, one answer to each prompt.
    """

    outcome: Outcome
    texts: Mapping[Combination, Sequence[Sequence[str]]]


Places = Mapping[Combination, NDArray[np.int64]]
"""For each preference which of the methods answers, (N, S)."""


def composed(records: Sequence[Answered], places: Places) -> Answered:
    """Gives the answers of a method that lets others answer, each answer by one of them."""
    scores: dict[Combination, list[Scores]] = {}
    texts: dict[Combination, list[list[str]]] = {}
    for asked, chosen in places.items():
        columns = list(enumerate(chosen.T))  # S of (N,)
        scores[asked] = [_taken([one.outcome.scores[asked][seed] for one in records], who) for seed, who in columns]
        texts[asked] = [
            [records[method].texts[asked][seed][prompt] for prompt, method in enumerate(who.tolist())]
            for seed, who in columns
        ]
    return Answered(Outcome(scores), texts)


def oracle(records: Sequence[Answered]) -> Places:
    """Gives for each answer the method whose answer is worth most to the judge: no honest method can do better."""
    return {
        asked: np.stack([one.outcome.utility_of(asked) for one in records]).argmax(axis=0)
        for asked in records[0].outcome.scores
    }


def best_single(records: Sequence[Answered]) -> dict[Combination, int]:
    """Gives for each preference the method that is worth most on average."""
    return {
        asked: int(np.argmax([one.outcome.utility_of(asked).mean() for one in records]))
        for asked in records[0].outcome.scores
    }


def always(choice: Mapping[Combination, int], like: Answered) -> Places:
    """Gives the places of one fixed method for each preference, as many as `like` has answers."""
    return {asked: np.full(like.outcome.utility_of(asked).shape, place) for asked, place in choice.items()}


def _taken(scores: Sequence[Scores], who: NDArray[np.int64]) -> Scores:
    """The scores of the answers (N,) that these methods (N,) gave."""

    def pick(read: Callable[[Scores], NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.stack([read(one) for one in scores])[who, np.arange(len(who))]

    names = scores[0].dimensions
    return Scores(pick(lambda one: one.quality), {name: pick(partial(_dimension, name)) for name in names})


def _dimension(name: str, scores: Scores) -> NDArray[np.float64]:
    return scores.dimensions[name]
