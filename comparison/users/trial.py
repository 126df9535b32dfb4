"""Tries a way to learn tastes on simulated users: how well are their next choices foreseen after each answer?

Knows users, pairs and methods. Does not know how any of them works.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu
from torch import Tensor

from comparison.users.methods import Features, Linear, Method, rows
from comparison.users.simulated import User
from comparison.users.world import Pairs
from pcm.users.learning import doubtful

Curves = NDArray[np.float64]
"""Area under the curve of each user after each number of answers `(U, C)`."""


def area(margins: Tensor, labels: Tensor) -> float:
    """Area under the ROC curve: how often a pair whose first answer is better gets the larger margin."""
    better, worse = margins[labels], margins[~labels]
    if not len(better) or not len(worse):
        return float("nan")
    return float(mannwhitneyu(better.numpy(), worse.numpy()).statistic / (len(better) * len(worse)))


class Interview(NamedTuple):
    """What a user was asked, and said."""

    asked: list[int]  # pairs of the pool, in order
    outcomes: Tensor  # (N,)

    @property
    def places(self) -> Tensor:
        """The pairs that were asked about `(N,)`."""
        return torch.tensor(self.asked, dtype=torch.long)

    def seen(self, features: Features, count: int) -> tuple[Features, Tensor]:
        """The features of the first `count` pairs, and the choices between them."""
        return rows(features, self.asked[:count]), self.outcomes[:count]


def interviews(method: Method, users: Sequence[User], pool: Pairs, count: int, seed: int) -> list[Interview]:
    """Asks every user.

    Args:
        method: Picks the questions.
        users: Answer them.
        pool: That may be asked about.
        count: How many questions.
        seed: Of the first user's noise and random questions; the next users count on.
    """
    return [_interview(method, user, pool, count, seed + place) for place, user in enumerate(users)]


def _interview(method: Method, user: User, pool: Pairs, count: int, seed: int) -> Interview:
    noise, draws = (torch.Generator().manual_seed(2 * seed + which) for which in (0, 1))
    asked: list[int] = []
    outcomes: list[float] = []
    while len(asked) < count:
        place = method.next(pool.features, asked, torch.tensor(outcomes), draws)
        outcomes.append(user.chooses(pool.true[place], len(asked), noise))
        asked.append(place)
    return Interview(asked, torch.tensor(outcomes))


def curves(
    method: Method,
    users: Sequence[User],
    told: Sequence[Interview],
    pool: Pairs,
    held_out: Pairs,
    counts: Sequence[int],
) -> Curves:
    """How well each user is known after each number of answers.

    Args:
        method: Learns the taste.
        users: Of whom it knows nothing but what they told.
        told: What they were asked and said.
        pool: That they were asked about.
        held_out: Whose true, noise-free labels are to be foreseen.
        counts: Numbers of answers, rising.
    """
    found = []
    for user, one in zip(users, told, strict=True):
        labels = user.worth(held_out.true) > 0
        seen = [one.seen(pool.features, count) for count in counts]
        found.append([area(method.margins(*so_far, held_out.features, user), labels) for so_far in seen])
    return np.array(found)


def doubted(method: Linear, told: Sequence[Interview], pool: Pairs) -> float:
    """Share of the users whose choices look as if a coin had made them."""
    seen = [one.seen(pool.features, len(one.asked)) for one in told]
    return float(np.mean([doubtful(method.before, method.axes(pairs), outcomes) for pairs, outcomes in seen]))


def answers_needed(curve: Sequence[float], counts: Sequence[int], goal: float) -> float | None:
    """After how many answers a mean curve first reaches the goal, between two counts by a straight line."""
    for place, reached in enumerate(curve):
        if reached >= goal:
            if place == 0:
                return float(counts[0])
            before, step = curve[place - 1], counts[place] - counts[place - 1]
            return counts[place - 1] + step * (goal - before) / (reached - before)
    return None
