"""What counts is the text: answers for learned profiles beside answers for the truth, the average and nobody.

The base alone is told nothing, or shown what the user chose. Knows a mixture, users and the gold judge's axes. Does not
know how a profile was learned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.progress import track

from comparison.methods import Base
from comparison.users.simulated import User
from comparison.users.world import World
from comparison.yardsticks import Example, fitting
from decoding.conversation import Conversation
from decoding.sampling import Sampling
from evaluation.intervals import Estimate, difference, win_rate
from experts.miniature.corpus import Prompt, prompts
from mixture import Mixture
from pcm.preference import Preference

BATCH = 32
SAMPLING = Sampling(temperature=0.0, max_new_tokens=112)


@dataclass(frozen=True)
class Followed:
    """Worth of answers to their users `(N,)`, one answer each for every kind of wish."""

    worth: Mapping[str, np.ndarray]

    def gain(self, kind: str = "learned") -> float:
        """Which share a kind of wish reaches of what the true one gains over the average one."""
        ours, true, average = (self.worth[name].mean() for name in (kind, "true", "average"))
        return float((ours - average) / (true - average))

    def against(self, other: str) -> tuple[Estimate, Estimate]:
        """Mean difference in worth to the learned profile's answers, and the share of them that is worth more."""
        ours, theirs = self.worth["learned"], self.worth[other]
        return difference(ours, theirs), win_rate(ours, theirs)


def followed(
    mixture: Mixture,
    world: World,
    users: Sequence[User],
    wishes: Mapping[str, Sequence[Preference | None]],
    shown: Sequence[Sequence[Example]],
) -> Followed:
    """One answer to a held-out question for every user for each kind of wish, and what it is worth to them.

    Args:
        mixture: That follows.
        world: Knows the truth.
        users: Who asks.
        wishes: By kind, what each user asks for; None asks for nothing.
        shown: What each user chose, as examples for the base alone.
    """
    asked = prompts("test")
    questions = [asked[place * 7 % len(asked)] for place in range(len(users))]
    conversations = [prompt.messages for prompt in questions]
    texts = {kind: _answers(mixture, conversations, told, kind) for kind, told in wishes.items()}
    base, room = Base(mixture), SAMPLING.max_new_tokens
    texts["base"] = base.respond(conversations, (), SAMPLING, seed=0)
    shown_to = [fitting(mixture, few, one, room) for few, one in zip(shown, conversations, strict=True)]
    texts["examples"] = base.respond(shown_to, (), SAMPLING, seed=0)
    return Followed({kind: _worth(world, questions, answers, users) for kind, answers in texts.items()})


def _answers(
    mixture: Mixture, conversations: Sequence[Conversation], wishes: Sequence[Preference | None], kind: str
) -> list[str]:
    found: list[str] = []
    for start in track(range(0, len(wishes), BATCH), description=f"Answering: {kind}"):
        part = slice(start, start + BATCH)
        seeds = [0] * len(wishes[part])
        found += [said.text for said in mixture.generate(conversations[part], wishes[part], SAMPLING, seeds)]
    return found


def _worth(world: World, asked: Sequence[Prompt], answers: Sequence[str], users: Sequence[User]) -> np.ndarray:
    places = world.truth(asked, answers)
    return np.array([float(user.worth(place[None])) for user, place in zip(users, places, strict=True)])
