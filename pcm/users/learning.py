"""From evidence to a profile: choices are scored, a taste is found, and doubts about it are told.

Knows axes, beliefs and profiles; what scores an answer comes as a function. Does not know models or files.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from decoding.conversation import Conversation
from pcm.users.axes import Axes
from pcm.users.belief import Belief
from pcm.users.evidence import Choice, OwnText
from pcm.users.own_texts import ReadText, taste_of
from pcm.users.profile import Axis, Profile

Way = Callable[[Tensor, Tensor], Belief]
"""Gives what is believed after choices, from differences on the axes `(N, J)` and outcomes `(N,)`."""
Read = Callable[[Sequence[OwnText]], list[ReadText]]
"""Gives own texts as base and experts read them, experts in the order of `Axes.scores`."""
Score = Callable[[Sequence[Conversation], Sequence[str]], Tensor]
"""Gives the reward models' scores `(N, D)` of one answer to each prompt, in the order of `Axes.scores`."""
SIDED = 0.01
"""How improbable it must be that an undecided user chose one side so often, before it is doubted."""
ENOUGH = 8
"""Choices from which on it is asked whether a taste made them."""


@dataclass(frozen=True)
class Learner:
    """Learns tastes on some axes.

    Args:
        axes: Of taste.
        score: Scores answers.
        before: What is believed of a user who has shown nothing yet.
        judge: What made the scores, for the provenance of profiles.
        read: Reads own texts; without it they say nothing.
        way: From choices to a belief, in place of logistic regression; own texts say nothing to it.
        method: What the way is called, for the provenance too.
    """

    axes: Axes
    score: Score
    before: Belief
    judge: str = ""
    read: Read | None = None
    way: Way | None = None
    method: str = "regression"

    def differences(self, choices: Sequence[Choice]) -> Tensor:
        """How the chosen answer differs from the rejected one on every axis, `(N, J)`."""
        if not choices:
            return torch.zeros(0, len(self.axes.names), dtype=torch.float64)
        sides = [(choice.prompt, text) for choice in choices for text in (choice.chosen, choice.rejected)]
        answers = {repr(side): side for side in sides}  # one of many pairs is scored once
        places = {key: place for place, key in enumerate(answers)}
        prompts, texts = zip(*answers.values(), strict=True)
        placed = self.axes.of(self.score(prompts, texts)).double()
        first, second = torch.tensor([places[repr(side)] for side in sides]).view(-1, 2).T
        return placed[first] - placed[second]

    def learned(self, profile: Profile) -> Profile:
        """The profile with what its evidence amounts to."""
        return self.informed(profile).judged(profile, self.differences(profile.choices))

    def informed(self, profile: Profile) -> "Learner":
        """The same for a user with these own texts: they say what is believed before any choice.

        A way that something else taught has a beginning of its own, which no text moves.

        Warns:
            UserWarning: If texts count for nothing, since there is such a way.
        """
        if not profile.texts or self.read is None:
            return self
        if self.way is not None:
            told = f"{self.method} learns from choices alone: the own texts of {profile.name} are kept but not counted"
            warnings.warn(told, stacklevel=2)
            return self
        return replace(self, before=taste_of(self.read(profile.texts), self.axes.places, self.before))

    def judged(self, profile: Profile, differences: Tensor) -> Profile:
        """The profile with what its choices amount to, where it is known how their answers differ `(N, J)`."""
        outcomes = outcomes_of(profile.choices)
        doubts = doubts_about(profile.choices, doubtful(self.before, differences, outcomes))
        belief = self.before if doubts else (self.way or self.before.after)(differences, outcomes)
        return self.concluded(profile, belief, doubts)

    def concluded(self, profile: Profile, belief: Belief, doubts: tuple[str, ...]) -> Profile:
        """The profile with this belief, and the weights it amounts to."""
        told = zip(self.axes.names, belief.mean.tolist(), belief.deviation.tolist(), strict=True)
        axes = {name: Axis(round(mean, 4), round(deviation, 4)) for name, mean, deviation in told}
        weights = self.axes.weights(belief)
        return replace(
            profile,
            belief=axes,
            weights=weights,
            doubts=doubts,
            provenance={"judge": self.judge, "method": self.method},
        )


def outcomes_of(choices: Sequence[Choice]) -> Tensor:
    """What was chosen, `(N,)`."""
    return torch.tensor([choice.outcome for choice in choices], dtype=torch.float64)


def doubtful(before: Belief, differences: Tensor, outcomes: Tensor) -> bool:
    """Whether a coin is likelier to have made the choices than a taste; see `Belief.odds`."""
    return len(outcomes) >= ENOUGH and before.odds(differences, outcomes) < 0


def doubts_about(choices: Sequence[Choice], by_a_coin: bool) -> tuple[str, ...]:
    """Why choices may say nothing about a taste, each reason a sentence.

    Args:
        choices: Of one user.
        by_a_coin: Whether they look as if a coin had made them.
    """
    doubts = []
    if by_a_coin:
        doubts.append("the choices agree with each other no better than chance: what they ask for cannot be told yet")
    sides = [choice.chosen_was_left for choice in choices if choice.chosen_was_left is not None]
    if sides and two_sided(sum(sides), len(sides)) < SIDED:
        side = "left" if 2 * sum(sides) > len(sides) else "right"
        doubts.append(f"the {side} answer was chosen {max(sum(sides), len(sides) - sum(sides))} of {len(sides)} times")
    return tuple(doubts)


def two_sided(count: int, trials: int) -> float:
    """Probability that a fair coin falls at least as unevenly as `count` of `trials`."""
    most = max(count, trials - count)
    tail = sum(math.comb(trials, heads) for heads in range(most, trials + 1)) / 2**trials
    return min(1.0, 2 * tail)
