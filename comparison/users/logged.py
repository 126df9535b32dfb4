"""How well each way foresees the choices of a log that somebody brings, of users nobody simulated.

Half of the users teach, the others are new: some of their choices are known, their last ones are to be foreseen. Knows
choices on axes and ways to learn. Does not know texts or bundles.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import torch
from rich.progress import track

from comparison.page import Sheet, shown_estimate
from comparison.users.findings import COUNTS
from evaluation.intervals import estimate
from pcm.users.learning import Way
from pcm.users.networks import Chosen
from pcm.users.ways import Log, Method, way_of

FEWEST = 6
"""Choices below which a user cannot be tried: one in three is kept to be foreseen."""


def logged(log: Log, seeds: int) -> dict[str, Any]:
    """By way of learning and number of known choices, the share of a new user's last choices that is foreseen.

    Args:
        log: Of all users; without a reader no tokens are learned.
        seeds: Of who is new, which of their choices are known, and what is trained.

    Raises:
        ValueError: If fewer than four users have enough choices.
    """
    users = [chosen for chosen in log.users if len(chosen.outcomes) >= FEWEST]
    if len(users) < 4:
        raise ValueError(f"a log must have four users or more with {FEWEST} choices each, got {len(users)} of them")
    found: dict[str, dict[int, dict[int, list[float]]]] = {}  # by way, count and user, a share for each seed
    for seed in track(range(seeds), description="Foreseeing choices"):
        order = random.Random(seed).sample(range(len(users)), len(users))
        others, new = order[: len(order) // 2], order[len(order) // 2 :]
        for name, way in _ways(replace(log, users=[users[place] for place in others], seed=seed)).items():
            for place in new:
                for count, share in _foreseen(way, users[place], seed).items():
                    found.setdefault(name, {}).setdefault(count, {}).setdefault(place, []).append(share)
    return {
        "settings": {"users": len(users), "left_out": len(log.users) - len(users), "seeds": seeds},
        "lines": {name: {str(count): _mean(by) for count, by in counts.items()} for name, counts in found.items()},
    }


def _mean(by_user: Mapping[int, Sequence[float]]) -> dict[str, float]:
    """Over users, each of whom counts once, however often they were new."""
    return estimate([sum(shares) / len(shares) for shares in by_user.values()]).as_dict()


def _ways(log: Log) -> dict[str, Way]:
    """Every way that the log can teach, and one taste for everybody."""
    population = log.population()
    methods = [method for method in get_args(Method) if method != "tokens" or log.reader is not None]
    ways: dict[str, Way] = {method: way_of(method, log) for method in methods}
    return {**ways, "one reward model for all": lambda differences, outcomes: population}


def _foreseen(way: Way, user: Chosen, seed: int) -> dict[int, float]:
    """After each number of known choices, the share of the others that is foreseen; one in three is never known."""
    order = torch.randperm(len(user.outcomes), generator=torch.Generator().manual_seed(seed))
    differences, outcomes = (part[order] for part in user)
    kept = len(order) - len(order) // 3
    shares = {}
    for count in (count for count in COUNTS if count <= kept):
        margins = differences[kept:].double() @ way(differences[:count], outcomes[:count]).mean
        right = (margins.sign() * (2 * outcomes[kept:].double() - 1) + 1) / 2  # a tie is half right whatever is said
        shares[count] = float(right.mean())
    return shares


def sheet(report: Mapping[str, Any]) -> Sheet:
    """What was found, as a table."""
    told, lines = report["settings"], report["lines"]
    counts: Sequence[str] = sorted({count for line in lines.values() for count in line}, key=int)
    rows = [[name, *(shown_estimate(line[count]) for count in counts)] for name, line in lines.items()]
    title = (
        f"Share of last choices foreseen after so many others: {told['users']} users, half of them new, "
        f"{told['seeds']} times; {told['left_out']} others had too few choices."
    )
    return Sheet(title, ["way", *counts], rows)
