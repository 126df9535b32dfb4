"""How sure are we? Means, paired differences and win rates with bootstrap intervals over prompts.

The cluster is the prompt: answers to one prompt (seeds, preferences) are averaged before anything is resampled, so
that more seeds do not pretend to be more evidence. Knows arrays of numbers, prompts first. Knows no model, no text.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Array = NDArray[np.float64]

RESAMPLES = 4000
"""How many times prompts are drawn anew for an interval."""
FEWER_RESAMPLES = 1000
"""Where each of them costs more than a mean."""
TIE = 1e-9
"""Scores closer than this differ by rounding alone."""
CONFIDENCE = 0.95
"""How often an interval shall hold the truth."""
SEED = 0
"""Of the bootstrap's draws."""


@dataclass(frozen=True)
class Estimate:
    """A mean and the interval around it.

    Args:
        mean: Over prompts.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    mean: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """Gives the three numbers by name."""
        return asdict(self)


def prompt_means(values: ArrayLike) -> Array:
    """Gives one number for each prompt (N,): the mean over every further axis of the values (N, ...).

    Raises:
        ValueError: If there are no values, or one of them is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or array.size == 0:
        raise ValueError(f"values must hold at least one number for each prompt, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"values must be finite, got {int((~np.isfinite(array)).sum())} that are not")
    return array.reshape(len(array), -1).mean(axis=1)


def estimate(
    values: ArrayLike, *, confidence: float = CONFIDENCE, resamples: int = RESAMPLES, seed: int = SEED
) -> Estimate:
    """Gives the mean over prompts with its bootstrap percentile interval.

    The percentiles are widened for few prompts, to `Φ(√(n/(n−1)) · t_{n−1}(α/2))` (Hesterberg, arXiv 1411.5279,
    section 4.5 on expanded percentiles): a plain bootstrap of n prompts is too narrow by the factor √((n−1)/n).

    Args:
        values: One row for each prompt (N, ...).
        confidence: How often the interval shall hold the truth.
        resamples: How many times the prompts are drawn anew, with replacement.
        seed: Of these draws: equal seeds give equal intervals.

    Raises:
        ValueError: If there are no values, one is not finite, or confidence or resamples are out of range.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    means = prompt_means(values)  # (N,)
    resampled = means[_draws(len(means), resamples, seed)].mean(axis=1)  # (resamples,)
    low, high = np.quantile(resampled, _tails(len(means), confidence))
    mean = float(means.mean())
    # Equal values average to a rounding error beside themselves, and no interval may lose its own mean to that.
    return Estimate(mean, min(float(low), mean), max(float(high), mean))


def estimate_of(statistic: Callable[[Array], float], values: ArrayLike) -> Estimate:
    """Gives what a statistic makes of the means over prompts, with its interval as `estimate` has it.

    Args:
        statistic: Makes one number of means (...).
        values: One array for each prompt (N, ...).

    Raises:
        ValueError: If there are no values, or one is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    prompt_means(array)  # refuses what is no number
    drawn = _draws(len(array), FEWER_RESAMPLES, SEED)
    resampled = [statistic(array[places].mean(axis=0)) for places in drawn]
    low, high = np.quantile(resampled, _tails(len(array), CONFIDENCE))
    found = statistic(array.mean(axis=0))
    return Estimate(found, min(float(low), found), max(float(high), found))


def difference(ours: ArrayLike, theirs: ArrayLike) -> Estimate:
    """Gives the mean of `ours − theirs`, paired by prompt.

    Args:
        ours: One row for each prompt (N, ...); further axes are averaged and may differ.
        theirs: For the same prompts in the same order (N, ...).

    Raises:
        ValueError: If the numbers of prompts differ, or values are missing or not finite.
    """
    _require_same(len(np.asarray(ours)), len(np.asarray(theirs)), "prompts")
    return estimate(prompt_means(ours) - prompt_means(theirs))


def win_rate(ours: ArrayLike, theirs: ArrayLike) -> Estimate:
    """Gives the share of answers in which ours is better, a tie counted as half, paired by prompt.

    Answers are compared one with one, at the same place of every axis, and then averaged within their prompt.

    Args:
        ours: One row for each prompt (N, ...).
        theirs: The same shape.

    Raises:
        ValueError: If the shapes differ, or values are missing or not finite.
    """
    won, lost = _decided(ours, theirs)
    return estimate(0.5 + (won - lost) / 2)


def decided_win_rate(ours: ArrayLike, theirs: ArrayLike) -> Estimate | None:
    """Gives the share that ours wins of the answers that are no tie, None where all of them are.

    A judge with few grades ties often, and every tie draws `win_rate` towards one half.

    Args:
        ours: One row for each prompt (N, ...).
        theirs: The same shape.

    Raises:
        ValueError: If the shapes differ, or values are missing or not finite.
    """
    won, lost = _decided(ours, theirs)
    decided = won + lost
    return ratio(won, decided) if decided.any() else None


def ratio(ours: ArrayLike, theirs: ArrayLike) -> Estimate:
    """Gives the ratio of the two means, `Σ ours / Σ theirs`, numerator and denominator resampled together by prompt.

    The interval means something only where that of `theirs` is clear of zero.

    Args:
        ours: One row for each prompt (N, ...).
        theirs: For the same prompts in the same order (N, ...).

    Raises:
        ValueError: If the numbers of prompts differ, values are missing or not finite, or the mean of theirs is zero.
    """
    _require_same(len(np.asarray(ours)), len(np.asarray(theirs)), "prompts")
    over, under = prompt_means(ours), prompt_means(theirs)
    if under.mean() == 0:
        raise ValueError("a ratio must have a denominator other than zero, got a mean of zero")
    drawn = _draws(len(over), RESAMPLES, SEED)
    with np.errstate(divide="ignore", invalid="ignore"):
        resampled = over[drawn].mean(axis=1) / under[drawn].mean(axis=1)  # (resamples,)
    low, high = np.nanquantile(resampled, _tails(len(over), CONFIDENCE))
    mean = float(over.mean() / under.mean())
    return Estimate(mean, min(float(low), mean), max(float(high), mean))


def _decided(ours: ArrayLike, theirs: ArrayLike) -> tuple[Array, Array]:
    """Where ours is better and where theirs is (N, ...), 1 or 0; both are 0 at a tie."""
    one, other = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    _require_same(one.shape, other.shape, "shape")
    gap = one - other
    prompt_means(gap)  # refuses what is no number before a comparison makes one of it
    return (gap >= TIE).astype(np.float64), (gap <= -TIE).astype(np.float64)


@lru_cache(maxsize=4)
def _draws(prompts: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """Which prompts each resample holds (resamples, N), kept because a report asks for the same ones all the time."""
    drawn = np.random.default_rng(seed).integers(prompts, size=(resamples, prompts))
    drawn.flags.writeable = False
    return drawn


def _tails(prompts: int, confidence: float) -> tuple[float, float]:
    """The two expanded percentiles, as shares."""
    if prompts < 2:
        return 0.0, 1.0
    reach = np.sqrt(prompts / (prompts - 1)) * stats.t.ppf((1 - confidence) / 2, prompts - 1)
    tail = float(stats.norm.cdf(reach))
    return tail, 1 - tail


def _require_same(ours: object, theirs: object, what: str) -> None:
    """Refuses to pair what cannot be paired."""
    if ours != theirs:
        raise ValueError(f"paired values must have the same {what}, got {ours} and {theirs}")
