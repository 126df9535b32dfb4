"""What counts is the text: answers for learned profiles beside answers for the truth, the average and nobody.

Knows a mixture, users and the gold judge's axes. Does not know how a profile was learned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.progress import track

from comparison.methods import Base
from comparison.users.simulated import User
from comparison.users.world import World
from decoding.sampling import Sampling
from evaluation.intervals import Estimate, difference, win_rate
from experts.miniature.corpus import Prompt, prompts
from mixture import Mixture
from pcm.preference import Preference

BATCH = 32
SAMPLING = Sampling(temperature=0.0, max_new_tokens=112)
Weights = Mapping[str, float]


@dataclass(frozen=True)
class Followed:
    """Worth of answers to their users `(N,)`, one answer each for every kind of profile."""

    worth: Mapping[str, np.ndarray]

    def gain(self, kind: str = "learned") -> float:
        """Which share a kind of profile reaches of what the true one gains over the average one."""
        ours, true, average = (self.worth[name].mean() for name in (kind, "true", "average"))
        return float((ours - average) / (true - average))

    def against(self, other: str) -> tuple[Estimate, Estimate]:
        """Mean difference in worth to the learned profile's answers, and the share of them that is worth more."""
        ours, theirs = self.worth["learned"], self.worth[other]
        return difference(ours, theirs), win_rate(ours, theirs)


def true_weights(user: User, world: World) -> Weights:
    """The numeric preference that a user's taste amounts to."""
    strongest = float(user.taste[:-1].abs().max())
    return {pole: float(taste) / strongest for (pole, _), taste in zip(world.axes.poles, user.taste, strict=False)}


def followed(
    mixture: Mixture, world: World, users: Sequence[User], profiles: Mapping[str, Sequence[Weights]]
) -> Followed:
    """One answer to a held-out question for every user under each kind of profile, and what it is worth to them.

    Args:
        mixture: That follows.
        world: Knows the truth.
        users: Who asks.
        profiles: By kind, a numeric preference for each user; an empty one asks for nothing.
    """
    asked = prompts("test")
    questions = [asked[place * 7 % len(asked)] for place in range(len(users))]
    texts = {kind: _answers(mixture, questions, weights, kind) for kind, weights in profiles.items()}
    texts["base"] = Base(mixture).respond([prompt.messages for prompt in questions], (), SAMPLING, seed=0)
    return Followed({kind: _worth(world, questions, answers, users) for kind, answers in texts.items()})


def _answers(mixture: Mixture, asked: Sequence[Prompt], weights: Sequence[Weights], kind: str) -> list[str]:
    found: list[str] = []
    for start in track(range(0, len(asked), BATCH), description=f"Answering: {kind}"):
        part = slice(start, start + BATCH)
        wishes = [Preference(weights=one) if any(one.values()) else None for one in weights[part]]
        conversations = [prompt.messages for prompt in asked[part]]
        found += [said.text for said in mixture.generate(conversations, wishes, SAMPLING, [0] * len(wishes))]
    return found


def _worth(world: World, asked: Sequence[Prompt], answers: Sequence[str], users: Sequence[User]) -> np.ndarray:
    places = world.truth(asked, answers)
    return np.array([float(user.worth(place[None])) for user, place in zip(users, places, strict=True)])
