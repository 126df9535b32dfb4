"""From outcomes to curves: the score on each dimension over how much of it is asked for.

Knows outcomes and intervals. Does not know who answers or how a number is shown.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from comparison.combinations import Combination, weighted
from comparison.outcomes import Array, Outcome
from evaluation.intervals import difference, estimate

LEVELS = (0.25, 0.5, 0.75, 1.0)
"""What is asked for; nothing is the base."""
LARGEST_STEP, LEAST_REACH = 0.5, 0.8
Report = dict[str, Any]


def asked_at(name: str, level: float) -> Combination:
    """Gives the preference that asks for so much of one dimension, and for nothing else."""
    return weighted({name: level})


def preferences(names: Sequence[str]) -> list[Combination]:
    """Gives every dimension at every level."""
    return [asked_at(name, level) for name in names for level in LEVELS]


def curves_of(outcomes: Mapping[str, Outcome], swept: Sequence[str], names: Sequence[str]) -> Report:
    """Gives the curves of each swept method, by dimension, and what they must show, line by line.

    Args:
        outcomes: Of the base, of each expert alone (`expert-NAME`) and of the swept methods, at one temperature.
        swept: Names of methods that were asked for every dimension at every level.
        names: The dimensions.
    """
    found: Report = {}
    for method in swept:
        curves = {
            name: curve_of(outcomes[method], outcomes["base"], outcomes[f"expert-{name}"], name) for name in names
        }
        found[method] = {"curves": curves, "claims": [line for name in names for line in claims(name, curves[name])]}
    return found


def curve_of(method: Outcome, base: Outcome, expert: Outcome, name: str) -> Report:
    """Gives the scores on one dimension and the qualities from level 0, which is the base, up to 1.

    `steps` are the paired differences of neighbours, `range` is that of the ends, and `to_expert` is how far the expert
    alone is from the base.

    Args:
        method: Asked for the dimension at every level.
        base: The base alone.
        expert: The dimension's expert alone.
        name: The dimension.
    """
    anything = asked_at(name, 1.0)  # under which the methods that do not listen were scored as well
    scores: list[Array] = [base.preference_of(anything, (name,))]
    scores += [method.preference_of(asked_at(name, level), (name,)) for level in LEVELS]
    qualities = [base.quality_of(anything), *(method.quality_of(asked_at(name, level)) for level in LEVELS)]
    alone = expert.preference_of(anything, (name,))
    return {
        "levels": [0.0, *LEVELS],
        "scores": [estimate(one).as_dict() for one in scores],
        "quality": [estimate(one).as_dict() for one in qualities],
        "steps": [difference(upper, lower).as_dict() for lower, upper in pairwise(scores)],
        "range": difference(scores[-1], scores[0]).as_dict(),
        "to_expert": difference(alone, scores[0]).as_dict(),
        "expert": estimate(alone).as_dict(),
    }


def claims(name: str, curve: Report) -> list[Report]:
    """Gives what a curve must show: that it rises at every step, in no jump, and as far as the expert goes."""
    steps = [step["mean"] for step in curve["steps"]]
    whole, far = curve["range"]["mean"], curve["to_expert"]["mean"]
    jump, reach = (max(steps) / whole if whole > 0 else 1.0), (whole / far if far > 0 else 0.0)
    return [
        {"claim": f"{name} rises: smallest step", "value": min(steps), "bound": 0.0, "holds": min(steps) > 0},
        {
            "claim": f"{name} has no jump: largest step",
            "value": jump,
            "bound": LARGEST_STEP,
            "holds": jump <= LARGEST_STEP,
        },
        {"claim": f"{name} reaches its expert", "value": reach, "bound": LEAST_REACH, "holds": reach >= LEAST_REACH},
    ]
