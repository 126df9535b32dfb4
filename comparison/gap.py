"""How much of the way from one method to a costlier one a third goes, over all preferences and under each.

Knows outcomes and intervals. Does not know which methods these are or how a number is shown.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from comparison.combinations import Combination, label
from comparison.outcomes import Array, Outcome
from evaluation.intervals import difference, estimate, ratio

Report = dict[str, Any]
CLEAR = 0.05
"""Utility by which the goal must be above the start: a share of a smaller gap says nothing."""


def gap_closed(ours: Outcome, start: Outcome, goal: Outcome) -> Report:
    """Gives the share of the gap in utility between `start` and `goal` that `ours` closes, paired by question.

    Preferences under which the goal is not clearly above the start are set apart: they have no share, and the one over
    all preferences leaves them out. It is None where all are set apart.

    Args:
        ours: Whose share is asked for.
        start: Of which the share is 0.
        goal: Of which it is 1.
    """
    gaps = {asked: _over(goal, start, [asked]) for asked in ours.scores}
    gains = {asked: _over(ours, start, [asked]) for asked in ours.scores}
    clear = [asked for asked, gap in gaps.items() if gap.mean() >= CLEAR]
    return {
        "closed": ratio(_over(ours, start, clear), _over(goal, start, clear)).as_dict() if clear else None,
        "goal_minus_ours": difference(_utility(goal, list(gaps)), _utility(ours, list(gaps))).as_dict(),
        "by_preference": {
            label(asked): {
                "gap": estimate(gap).as_dict(),
                "gain": estimate(gains[asked]).as_dict(),
                "closed": ratio(gains[asked], gap).as_dict() if asked in clear else None,
            }
            for asked, gap in gaps.items()
        },
    }


def _over(higher: Outcome, lower: Outcome, preferences: Sequence[Combination]) -> Array:
    """How much more utility each question has under each of these preferences (N, P)."""
    return _utility(higher, preferences) - _utility(lower, preferences)


def _utility(outcome: Outcome, preferences: Sequence[Combination]) -> Array:
    """Utility (N, P), averaged over seeds: methods at other temperatures have other numbers of them."""
    return np.stack([outcome.utility_of(asked).mean(axis=-1) for asked in preferences], axis=1)
