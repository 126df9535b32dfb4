"""Methods and outcomes whose numbers can be read off by eye."""

from collections.abc import Mapping, Sequence

import numpy as np

from comparison.combinations import Combination, combinations
from comparison.outcomes import Outcome
from comparison.scorers import Scores
from decoding.conversation import Conversation
from decoding.dimension import Dimension
from decoding.sampling import Sampling
from experts.miniature.corpus import Prompt

DIMENSIONS = (Dimension("warm", "The answer is warm.", "cold"), Dimension("cold", "The answer is cold.", "warm"))
PREFERENCES = combinations(DIMENSIONS)
PROMPTS = [Prompt([{"role": "user", "content": text}], "the rain") for text in ("Why?", "How?", "What?")]


class Echo:
    """Answers with what it was asked, and counts; may be interrupted."""

    def __init__(self, name: str, listens: bool = True, interrupted_at: int = -1) -> None:
        self.name, self.listens, self.interrupted_at, self.calls = name, listens, interrupted_at, 0

    def respond(
        self, conversations: Sequence[Conversation], asked: Combination, sampling: Sampling, seed: int
    ) -> list[str]:
        if self.calls == self.interrupted_at:
            raise KeyboardInterrupt
        self.calls += 1
        return [f"{one[-1]['content']} {'+'.join(asked)} {sampling.temperature:g} {seed}" for one in conversations]


def outcome(scores: Mapping[Combination, tuple[float, float, float]]) -> Outcome:
    """An outcome of three prompts, two seeds: quality, warm and cold for each preference, the same everywhere."""
    return Outcome({asked: [constant(*numbers)] * 2 for asked, numbers in scores.items()})


def constant(quality: float, warm: float, cold: float) -> Scores:
    return Scores(np.full(3, quality), {"warm": np.full(3, warm), "cold": np.full(3, cold)})


def unhearing(quality: float, warm: float, cold: float) -> Outcome:
    """An outcome of a method that does not listen."""
    return outcome(dict.fromkeys(PREFERENCES, (quality, warm, cold)))


def good_outcomes() -> dict[str, dict[float, Outcome]]:
    """Outcomes that pass every line of acceptance."""
    controlled = outcome({("warm",): (1.0, 0.9, 0.1), ("cold",): (0.8, 0.2, 0.7)})
    one_temperature = {
        "base": unhearing(1.0, 0.5, 0.5),
        "expert-warm": unhearing(0.99, 0.95, 0.0),
        "expert-cold": unhearing(0.984, 0.1, 0.93),
        "fixed-uniform": outcome({("warm",): (1.0, 0.6, 0.4), ("cold",): (1.0, 0.4, 0.5)}),
        "pcm-anchored": controlled,
    }
    return {name: {1.0: one} for name, one in one_temperature.items()}


SETTINGS = {"bundle": "0123456789abcdef", "prompts": 3, "preferences": 2, "seeds": 2, "max_new_tokens": 8}
