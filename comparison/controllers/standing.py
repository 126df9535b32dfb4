"""From outcomes to a report: how each variant of a controller stands beside the first and the uniform mixture.

Knows outcomes and intervals. Does not know who answers or how a number is shown.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from comparison.outcomes import Array, Outcome
from evaluation.intervals import difference, estimate, ratio, win_rate

Report = dict[str, Any]


def standings(
    uniform: Outcome,
    members: Mapping[str, Outcome],
    variants: Mapping[str, Sequence[str]],
    own: Mapping[str, Outcome],
) -> Report:
    """Gives the numbers of every variant at one temperature, its training seeds taken together.

    `gain` is utility beyond the uniform mixture under the first one's rule, `own_gain` beyond that under its own, and
    `kept` the gain's share of the first variant's, None where that one gains nothing that is clear of zero.

    Args:
        uniform: Of the uniform mixture under the first one's rule.
        members: Outcomes by name.
        variants: The names of each variant's members, the first variant being what the others are held against.
        own: Of the uniform mixture under each member's rule, by the member's name.
    """
    pooled = {name: [members[one] for one in listed] for name, listed in variants.items()}
    first = next(iter(pooled))
    reference = utilities(pooled[first])
    nobody = {name: utilities([own[one] for one in listed]) for name, listed in variants.items()}
    return {name: _standing(outcomes, uniform, reference, nobody[name]) for name, outcomes in pooled.items()}


def utilities(outcomes: Sequence[Outcome]) -> Array:
    """Gives the utility (N, P, S) of members taken together: the mean over them."""
    return np.mean([one.utility() for one in outcomes], axis=0)


def _standing(outcomes: Sequence[Outcome], uniform: Outcome, reference: Array, own: Array) -> Report:
    ours, nobody = utilities(outcomes), uniform.utility()
    gain, theirs = _over(ours, nobody), _over(reference, nobody)
    clear = estimate(theirs).low > 0
    return {
        "utility": estimate(ours).as_dict(),
        "quality": estimate(np.mean([one.quality() for one in outcomes], axis=0)).as_dict(),
        "gain": estimate(gain).as_dict(),
        "own_gain": estimate(_over(ours, own)).as_dict(),
        "wins_over_uniform": win_rate(ours.mean(-1), nobody.mean(-1)).as_dict(),
        "minus_first": difference(ours, reference).as_dict(),
        "kept": ratio(gain, theirs).as_dict() if clear else None,
        "members": [float(one.utility().mean()) for one in outcomes],
    }


def _over(ours: Array, theirs: Array) -> Array:
    """How much more each prompt has under each preference (N, P)."""
    return ours.mean(-1) - theirs.mean(-1)
