"""Do the start by singular value decomposition and the penalty matter to learned axes, as PReF's authors found?

Both are left out, alone and together, over several seeds (arXiv 2503.06358, section on ablations). Knows pairs and the
basis. Does not know where pairs come from.
"""

from collections.abc import Mapping

import numpy as np
from rich.progress import track

from comparison.users.findings import AT
from comparison.users.lineup import RANK, log_of
from comparison.users.methods import Linear
from comparison.users.simulated import drawn
from comparison.users.trial import curves, interviews
from comparison.users.world import Pairs
from pcm.users.basis import PENALTY, factorised

VARIANTS: Mapping[str, tuple[float, bool]] = {
    "PReF": (PENALTY, True),
    "without the SVD start": (PENALTY, False),
    "without the penalty": (0.0, True),
    "without either": (0.0, False),
}
"""By name, the penalty, and whether the start is a decomposition."""
USERS = 40


def ablation(
    log_pairs: Pairs, pool: Pairs, held_out: Pairs, *, axes: int, log_users: int, each: int, seeds: int
) -> dict[str, list[float]]:
    """Mean area under the curve after ten answers to random questions, by variant one number for each seed.

    Args:
        log_pairs: That users of the log are asked about.
        pool: That new users are asked about.
        held_out: Whose choices are to be foreseen.
        axes: Of taste, besides quality.
        log_users: Users of the log; every seed has others, who choose between other pairs.
        each: Choices of each of them.
        seeds: Of users, choices and starts.
    """
    found: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for seed in track(range(seeds), description="Leaving things out"):
        outcomes = log_of(drawn(log_users, axes, 2000 + seed), log_pairs, each, 2000 + seed)
        known = (~outcomes.isnan()).any(1)
        states, people = log_pairs.rows(known).features["states"], drawn(USERS, axes, 3000 + seed)
        for name, (penalty, svd_start) in VARIANTS.items():
            basis = factorised(states, outcomes[known], RANK, penalty=penalty, svd_start=svd_start, seed=seed)
            method = Linear(name, "states", basis.population(), basis, active=False)
            told = interviews(method, people, pool, AT, seed)
            found[name].append(float(np.mean(curves(method, people, told, pool, held_out, (AT,)))))
    return found
