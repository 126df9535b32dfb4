"""The lines of the bench, learned from a log of other users.

Knows which ways there are. Does not know how any works, nor whom they will be tried on.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from comparison.users.methods import Learned, Linear, Method, Mixed, OneForAll, Told
from comparison.users.simulated import User
from comparison.users.world import Pairs
from pcm.users.basis import factorised, low_rank
from pcm.users.belief import Belief
from pcm.users.networks import Chosen
from pcm.users.ways import Log, way_of
from pcm.users.ways import Method as WayName

RANK = 6
LEARNED: dict[WayName, str] = {
    "population": "prior from the log",
    "variational": "VPL",
    "in-context": "FSPO, in context",
    "tokens": "P-RLHF, user tokens",
}


def log_of(users: Sequence[User], pairs: Pairs, each: int, seed: int) -> Tensor:
    """What users chose of pairs drawn for each of them `(P, U)`, NaN where they were not asked."""
    generator = torch.Generator().manual_seed(seed)
    outcomes = torch.full((len(pairs), len(users)), torch.nan, dtype=torch.float64)
    for column, user in enumerate(users):
        places = torch.randperm(len(pairs), generator=generator)[:each].tolist()
        for before, place in enumerate(places):
            outcomes[place, column] = user.chooses(pairs.true[place], before, generator)
    return outcomes


def chosen_by(pairs: Pairs, outcomes: Tensor) -> list[Chosen]:
    """The choices of every user of a log, on the dimensions' own axes."""
    values, known = pairs.features["axes"].double(), ~outcomes.isnan()
    return [Chosen(values[places], column[places]) for places, column in zip(known.T, outcomes.T, strict=True)]


def lineup(pairs: Pairs, outcomes: Tensor, log: Log) -> list[Method]:
    """Every way to learn a taste, ready for new users.

    Args:
        pairs: That the log's users were asked about.
        outcomes: Of their choices `(P, U)`.
        log: The same on the dimensions' own axes; without a reader no tokens are learned.
    """
    states = pairs.features["states"]
    pref = factorised(states, outcomes, RANK)
    scale = states.double().square().mean(0).sqrt().clamp(min=1e-9)
    alone = Belief(torch.zeros(len(scale), dtype=torch.float64), torch.diag(1 / scale**2 / len(scale)))
    learned = [(f"dimensions, {name}", method) for method, name in LEARNED.items() if method != "tokens" or log.reader]
    return [
        Linear("dimensions", "axes", log.before),
        Linear("dimensions, random questions", "axes", log.before, active=False),
        *(Learned(name, "axes", log.before, way=way_of(method, log)) for name, method in learned),
        Linear("PReF", "states", pref.population(), pref),
        Linear("PReF, random questions", "states", pref.population(), pref, active=False),
        Mixed("LoRe", "states", low_rank(states, outcomes, RANK)),
        OneForAll("one reward model for all", "axes", log.tastes().mean(0)),
        Linear("a reward model for each", "states", alone, active=False),
        Told("told the taste", "axes"),
    ]
