"""From timed rounds to what is claimed of them: each way's seconds, and how many times as fast the joint one is.

Pure functions of numbers; a round has the seconds of one update of every trainee. Knows the ways' names. Does not know
who trains, nor what an expert is worth.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from comparison.bench.summaries import median, paired_ratio, spread

JOINT, SINGLE, TRL = "joint", "single", "trl"
"""All experts in one run; a run for each, ours; a run for each, by TRL."""
BOUNDS = {SINGLE: 1 / 2, TRL: 1 / 3}
"""What the joint training's time shall be of another way's, at most."""

Who = tuple[str, str]
"""A way, and the expert that a trainee of it trains; the joint way has one trainee for all of them."""
Row = dict[str, Any]


def per_round(rounds: Sequence[Mapping[Who, float]], way: str) -> list[float]:
    """Gives the seconds of a way's updates in each round: the sum over its trainees, which would run in sequence."""
    return [sum(seconds for (name, _), seconds in each.items() if name == way) for each in rounds]


def ways_in(rounds: Sequence[Mapping[Who, float]]) -> list[str]:
    """Gives the ways that were timed, in the order of a round."""
    return list(dict.fromkeys(way for each in rounds for way, _ in each))


def rows_of(rounds: Sequence[Mapping[Who, float]], before: Mapping[Who, float], updates: int) -> list[Row]:
    """Gives one row for each way.

    Args:
        rounds: Without those in which everybody warms up.
        before: Seconds until each trainee was ready for its first update, its imports not counted.
        updates: Of a whole run; `minutes` are those of training all experts with as many.
    """
    joint = per_round(rounds, JOINT)
    rows = []
    for way in ways_in(rounds):
        seconds = per_round(rounds, way)
        built = sum(one for (name, _), one in before.items() if name == way)
        rows.append(
            {
                "way": way,
                "trainees": sum(name == way for name, _ in before),
                "seconds": median(seconds),
                "spread": spread(seconds),
                "before": built,
                "minutes": (built + updates * median(seconds)) / 60,
                "joint_share": paired_ratio(joint, seconds),
                "each_round": [round(one, 3) for one in seconds],
            }
        )
    return rows


def claims_of(rounds: Sequence[Mapping[Who, float]]) -> list[Row]:
    """Gives, for each other way that was timed, what the joint training takes of its time beside what it may take."""
    joint = per_round(rounds, JOINT)
    shares = {way: paired_ratio(joint, per_round(rounds, way)) for way in ways_in(rounds) if way in BOUNDS}
    return [
        {"claim": f"joint ÷ {way}, seconds", "value": share, "bound": BOUNDS[way], "holds": share <= BOUNDS[way]}
        for way, share in shares.items()
    ]
