"""Which differences are more than chance, when many are looked at? Paired tests and the correction for their number.

Knows arrays of numbers, prompts first. Knows no model, no text.
"""

import math
from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from evaluation.intervals import prompt_means

BATCH = 4999  # swaps in memory together
Name = TypeVar("Name", bound=Hashable)


def swaps_for(tests: int, level: float = 0.05) -> int:
    """Gives how many swaps tell whether a p-value is below `level` after a correction for so many tests.

    The smallest p-value of n swaps is 2 / (n + 1), and Holm multiplies it by the number of tests: with too few swaps
    nothing could ever be called a difference. Ten times as many as that are tried, and never fewer than 4999.

    Args:
        tests: How many differences are looked at.
        level: Of the whole study.
    """
    return max(4999, math.ceil(10 * 2 * tests / level) - 1)


def paired_p_value(ours: ArrayLike, theirs: ArrayLike, *, resamples: int = 4999, seed: int = 0) -> float:
    """Gives how often chance alone makes a difference this large, if the two labels may be swapped at each prompt.

    A test by flipping signs: exact whatever the distribution, also where scores are mostly 0 or 1.

    Args:
        ours: One row for each prompt (N, ...); further axes are averaged.
        theirs: For the same prompts (N, ...).
        resamples: How many of the swaps are tried; all of them where there are fewer.
        seed: Of the swaps.

    Raises:
        ValueError: If the numbers of prompts differ, or values are missing or not finite.
    """
    sides = prompt_means(ours), prompt_means(theirs)  # (N,) each
    if len(sides[0]) != len(sides[1]):
        raise ValueError(f"paired values must have the same prompts, got {len(sides[0])} and {len(sides[1])}")
    gaps = sides[0] - sides[1]
    if len(gaps) < 2:
        return 1.0  # one swap of one prompt tells nothing
    found = stats.permutation_test(
        (gaps,),
        lambda values, axis: np.mean(values, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=BATCH,
        random_state=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def holm(p_values: Mapping[Name, float]) -> dict[Name, float]:
    """Gives each p-value corrected for the number of tests: `max_{j ≤ i} (m − j + 1) p_(j)`, at most 1 (Holm, 1979).

    Whoever calls what stays below 0.05 a difference errs anywhere among all m tests in at most 5 % of all studies.

    Args:
        p_values: Of each test, by name.

    Raises:
        ValueError: If one is not in [0, 1].
    """
    if outside := {name: p for name, p in p_values.items() if not 0 <= p <= 1}:
        raise ValueError(f"p-values must be in [0, 1], got {outside}")
    ordered = sorted(p_values, key=lambda name: p_values[name])
    steps = np.array([p_values[name] * (len(ordered) - place) for place, name in enumerate(ordered)])
    corrected: NDArray[np.float64] = np.minimum(np.maximum.accumulate(steps), 1.0) if ordered else steps
    by_name = dict(zip(ordered, corrected.tolist(), strict=True))
    return {name: by_name[name] for name in p_values}
