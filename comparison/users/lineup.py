"""The lines of the bench, learned from a log of other users.

Knows which ways there are. Does not know how any works, nor whom they will be tried on.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from comparison.users.methods import Linear, Method, Mixed, OneForAll, Told
from comparison.users.simulated import User
from comparison.users.world import Pairs
from pcm.users.basis import Basis, factorised, low_rank
from pcm.users.belief import Belief

RANK = 6


def log_of(users: Sequence[User], pairs: Pairs, each: int, seed: int) -> Tensor:
    """What users chose of pairs drawn for each of them `(P, U)`, NaN where they were not asked."""
    generator = torch.Generator().manual_seed(seed)
    outcomes = torch.full((len(pairs), len(users)), torch.nan, dtype=torch.float64)
    for column, user in enumerate(users):
        places = torch.randperm(len(pairs), generator=generator)[:each].tolist()
        for before, place in enumerate(places):
            outcomes[place, column] = user.chooses(pairs.true[place], before, generator)
    return outcomes


def on_axes(pairs: Pairs, outcomes: Tensor) -> Basis:
    """The dimensions' own axes, and where each user of a log lies on them."""
    values, axes = pairs.features["axes"].double(), pairs.features["axes"].shape[1]
    known = [~column.isnan() for column in outcomes.T]
    tastes = [
        Belief.before(axes).after(values[places], column[places]).mean
        for places, column in zip(known, outcomes.T, strict=True)
    ]
    return Basis(torch.eye(axes, dtype=torch.float64), torch.stack(tastes))


def lineup(pairs: Pairs, outcomes: Tensor, penalty: float = 1e-3) -> list[Method]:
    """Every way to learn a taste, ready for new users.

    Args:
        pairs: That the log's users were asked about.
        outcomes: Of their choices `(P, U)`.
        penalty: Of the learned bases.
    """
    dimensions = on_axes(pairs, outcomes)
    stranger = Belief.before(dimensions.tastes.shape[1])
    states = pairs.features["states"]
    pref = factorised(states, outcomes, RANK, penalty=penalty)
    scale = states.double().square().mean(0).sqrt().clamp(min=1e-9)
    alone = Belief(torch.zeros(len(scale), dtype=torch.float64), torch.diag(1 / scale**2 / len(scale)))
    return [
        Linear("dimensions", "axes", stranger),
        Linear("dimensions, random questions", "axes", stranger, active=False),
        Linear("dimensions, prior from the log", "axes", dimensions.population()),
        Linear("PReF", "states", pref.population(), pref),
        Linear("PReF, random questions", "states", pref.population(), pref, active=False),
        Mixed("LoRe", "states", low_rank(states, outcomes, RANK, penalty=penalty)),
        OneForAll("one reward model for all", "axes", dimensions.tastes.mean(0)),
        Linear("a reward model for each", "states", alone, active=False),
        Told("told the taste", "axes"),
    ]
