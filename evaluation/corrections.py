"""Which differences are more than chance, when many are looked at? Paired tests and the correction for their number.

Knows arrays of numbers, prompts first. Knows no model, no text.
"""

import math
from collections.abc import Hashable, Iterator, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

BATCH = 4999  # swaps in memory together
Name = TypeVar("Name", bound=Hashable)


def swaps_for(tests: int, level: float = 0.05) -> int:
    """Gives how many swaps tell whether a p-value is below `level` after a correction for so many tests.

    The smallest p-value of n swaps is 1 / (n + 1), and Holm multiplies it by the number of tests: with too few swaps
    nothing could ever be called a difference. Twenty times as many as that are tried, and never fewer than 4999.

    Args:
        tests: How many differences are looked at.
        level: Of the whole study.
    """
    return max(4999, math.ceil(20 * tests / level) - 1)


def paired_p_values(gaps: ArrayLike, *, resamples: int = 4999, seed: int = 0) -> NDArray[np.float64]:
    """Gives how often chance alone makes a mean as large, if labels may be swapped at each prompt, of each test (M,).

    A test by flipping signs: exact whatever the distribution, also where scores are mostly 0 or 1. The same swaps are
    tried in every test, so that many tests cost one product of matrices: `scipy.stats.permutation_test` of each column
    has the same law, and takes a hundred times as long for some hundred tests.

    Args:
        gaps: Differences between two methods, prompts down, tests across (N, M).
        resamples: How many of the swaps are tried; all of them where there are no more.
        seed: Of the swaps.

    Raises:
        ValueError: If it is not such a table, or values are missing or not finite.
    """
    table = np.asarray(gaps, dtype=np.float64)
    if table.ndim != 2 or not np.isfinite(table).all():
        raise ValueError(f"gaps must be a table of finite numbers, prompts by tests, got one of shape {table.shape}")
    if len(table) < 2:
        return np.ones(table.shape[1])  # one swap of one prompt tells nothing
    found = np.abs(table.sum(axis=0))  # (M,)
    as_large = found - 1e-12 * np.abs(table).sum(axis=0)  # the same sum in another order is as large
    every = 2 ** len(table) <= resamples
    swaps = _all_swaps(len(table)) if every else _some_swaps(len(table), resamples, np.random.default_rng(seed))
    larger = sum(((np.abs(signs @ table) >= as_large).sum(axis=0) for signs in swaps), np.zeros(len(found)))  # (M,)
    return larger / 2 ** len(table) if every else (1 + larger) / (1 + resamples)


def _all_swaps(prompts: int) -> Iterator[NDArray[np.float64]]:
    """Every way to flip signs, once, in parts (n, N)."""
    for start in range(0, 2**prompts, BATCH):
        yield _signs(np.arange(start, min(start + BATCH, 2**prompts))[:, None] >> np.arange(prompts) & 1)


def _some_swaps(prompts: int, count: int, rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """So many ways to flip signs, drawn at random, in parts (n, N)."""
    for start in range(0, count, BATCH):
        yield _signs(rng.integers(2, size=(min(BATCH, count - start), prompts)))


def _signs(bits: NDArray[np.int64]) -> NDArray[np.float64]:
    """1 for 0, -1 for 1."""
    return (1 - 2 * bits).astype(np.float64)


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
