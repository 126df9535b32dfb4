"""Tries a way to learn tastes on simulated users: how well are their next choices foreseen after each answer?

Knows users, pairs and methods. Does not know how any of them works.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu
from torch import Tensor

from comparison.users.methods import Linear, Method, rows
from comparison.users.simulated import User
from comparison.users.world import Pairs
from pcm.users.learning import ODDS

Curves = NDArray[np.float64]
"""Area under the curve of each user after each number of answers `(U, C)`."""


def area(margins: Tensor, labels: Tensor) -> float:
    """Area under the ROC curve: how often a pair whose first answer is better gets the larger margin."""
    better, worse = margins[labels], margins[~labels]
    if not len(better) or not len(worse):
        return float("nan")
    return float(mannwhitneyu(better.numpy(), worse.numpy()).statistic / (len(better) * len(worse)))


def interviewed(method: Method, user: User, pool: Pairs, count: int, seed: int) -> tuple[list[int], Tensor]:
    """Which pairs a user was asked about, in order, and what was chosen `(count,)`.

    Args:
        method: Picks the questions.
        user: Answers them.
        pool: That may be asked about.
        count: How many questions.
        seed: Of the user's noise and of random questions.
    """
    noise, draws = (torch.Generator().manual_seed(2 * seed + which) for which in (0, 1))
    asked: list[int] = []
    outcomes: list[float] = []
    while len(asked) < count:
        place = method.next(pool.features, asked, torch.tensor(outcomes), draws)
        outcomes.append(user.chooses(pool.true[place], len(asked), noise))
        asked.append(place)
    return asked, torch.tensor(outcomes)


def curves(
    method: Method, users: Sequence[User], pool: Pairs, held_out: Pairs, counts: Sequence[int], seed: int
) -> Curves:
    """How well each user is known after each number of answers.

    Args:
        method: Learns the taste.
        users: Of whom it knows nothing yet.
        pool: That it may ask about.
        held_out: Whose true, noise-free labels it is to foresee.
        counts: Numbers of answers, rising.
        seed: Of the first user's noise and random questions; the next users count on.
    """
    found = []
    for place, user in enumerate(users):
        asked, outcomes = interviewed(method, user, pool, counts[-1], seed + place)
        seen = [(rows(pool.features, asked[:count]), outcomes[:count]) for count in counts]
        margins = [method.margins(*so_far, held_out.features, user) for so_far in seen]
        found.append([area(foreseen, user.worth(held_out.true) > 0) for foreseen in margins])
    return np.array(found)


def doubted(method: Linear, users: Sequence[User], pool: Pairs, count: int, seed: int) -> float:
    """Share of the users whose choices are doubted: a coin is much likelier to have made them than a taste."""
    told = [interviewed(method, user, pool, count, seed + place) for place, user in enumerate(users)]
    odds = [method.before.odds(method.axes(rows(pool.features, asked)), outcomes) for asked, outcomes in told]
    return sum(one < -math.log(ODDS) for one in odds) / len(odds)


def answers_needed(curve: Sequence[float], counts: Sequence[int], goal: float) -> float | None:
    """After how many answers a mean curve first reaches the goal, between two counts by a straight line."""
    for place, reached in enumerate(curve):
        if reached >= goal:
            if place == 0:
                return float(counts[0])
            before, step = curve[place - 1], counts[place] - counts[place - 1]
            return counts[place - 1] + step * (goal - before) / (reached - before)
    return None
