"""Intervals that hold the truth as often as they say, and pairs that are compared within their prompt."""

import numpy as np
import pytest

from evaluation.intervals import Estimate, decided_win_rate, difference, estimate, estimate_of, ratio, win_rate


def test_equal_values_leave_no_doubt():
    assert estimate(np.full((7, 3), 0.1)) == Estimate(pytest.approx(0.1), pytest.approx(0.1), pytest.approx(0.1))
    found = estimate(np.full(7, 0.1))
    assert found.low <= found.mean <= found.high


def test_an_interval_of_many_prompts_is_the_one_of_the_normal_distribution():
    values = np.random.default_rng(1).normal(2.0, 3.0, size=2000)
    found = estimate(values)
    half = 1.96 * values.std(ddof=1) / np.sqrt(2000)
    assert found.mean == pytest.approx(values.mean(), abs=1e-12)
    assert found.low == pytest.approx(values.mean() - half, abs=0.01)
    assert found.high == pytest.approx(values.mean() + half, abs=0.01)


@pytest.mark.parametrize("prompts", [8, 40])
def test_intervals_hold_the_truth_as_often_as_they_say(prompts):
    """Seeds of one prompt agree more than prompts do: without clusters this would cover about half of the time."""
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(600):
        values = rng.normal(size=(prompts, 1)) + rng.normal(scale=0.3, size=(prompts, 5))
        found = estimate(values, resamples=500)
        held += found.low <= 0 <= found.high
    assert 0.925 <= held / 600 <= 0.975


def test_more_seeds_of_the_same_prompt_are_no_more_evidence():
    values = np.random.default_rng(3).random(20)
    assert estimate(values) == estimate(np.repeat(values[:, None], 9, axis=1))


def test_equal_seeds_give_equal_intervals_and_others_do_not():
    values = np.random.default_rng(4).random(20)
    assert estimate(values) == estimate(values)
    assert estimate(values).low != estimate(values, seed=1).low


def test_less_confidence_is_a_narrower_interval():
    values = np.random.default_rng(5).random(20)
    wide, narrow = estimate(values), estimate(values, confidence=0.5)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_a_difference_is_paired_by_prompt():
    """What makes a question hard for both methods must cancel."""
    hardness = np.random.default_rng(6).normal(scale=5.0, size=(30, 1))
    theirs = hardness + np.zeros((30, 2))
    ours = hardness + 0.25
    found = difference(ours, theirs)
    assert found.mean == pytest.approx(0.25)
    assert found.high - found.low < 1e-9
    assert difference(theirs, ours).mean == pytest.approx(-0.25)


def test_a_tie_is_half_a_win():
    found = win_rate([[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.4]])
    assert found.mean == pytest.approx((1 + 0 + 0.5 + 1) / 4)
    assert win_rate([0.1 + 0.2], [0.3]).mean == 0.5  # a rounding error is no win


def test_win_rates_of_both_sides_sum_to_one():
    rng = np.random.default_rng(7)
    ours, theirs = rng.integers(3, size=(2, 15, 4)).astype(float)
    assert win_rate(ours, theirs).mean + win_rate(theirs, ours).mean == pytest.approx(1.0)


def test_ties_are_left_out_of_what_is_decided():
    ours, theirs = [[1.0, 0.5, 0.5], [0.5, 0.5, 0.5]], [[0.0, 0.5, 0.6], [0.4, 0.5, 0.5]]
    found = decided_win_rate(ours, theirs)
    assert found is not None
    assert found.mean == pytest.approx(2 / 3)
    assert win_rate(ours, theirs).mean == pytest.approx((2 + 3 / 2) / 6)
    assert decided_win_rate([0.1 + 0.2], [0.3]) is None  # a rounding error decides nothing


def test_what_cannot_be_an_estimate_is_refused():
    with pytest.raises(ValueError, match="at least one number for each prompt"):
        estimate([])
    with pytest.raises(ValueError, match="must be finite, got 1"):
        estimate([0.0, np.nan])
    with pytest.raises(ValueError, match="must be finite, got 1"):
        win_rate([0.0, np.nan], [0.0, 0.0])
    with pytest.raises(ValueError, match="same prompts, got 2 and 3"):
        difference([0.0, 1.0], [0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="same shape"):
        win_rate(np.zeros((2, 3)), np.zeros((2, 1)))
    with pytest.raises(ValueError, match="confidence must be between 0 and 1, got 95"):
        estimate([0.0], confidence=95)
    with pytest.raises(ValueError, match="resamples must be at least 1, got 0"):
        estimate([0.0], resamples=0)


def test_a_ratio_resamples_both_sides_together():
    theirs = np.random.default_rng(0).uniform(0.5, 1.5, 40)
    half = ratio(theirs / 2, theirs)
    assert (half.mean, half.low, half.high) == pytest.approx((0.5, 0.5, 0.5))
    noisy = ratio(theirs[::-1] / 2, theirs)
    assert noisy.mean == pytest.approx(0.5)
    assert noisy.low < 0.45 < 0.55 < noisy.high
    with pytest.raises(ValueError, match="other than zero"):
        ratio([1.0, 2.0], [-1.0, 1.0])
    with pytest.raises(ValueError, match="same prompts, got 1 and 2"):
        ratio([1.0], [1.0, 2.0])


def test_an_estimate_of_the_mean_itself_is_that_of_the_mean():
    values = np.random.default_rng(3).normal(size=(40, 2))
    found, plain = estimate_of(lambda means: float(means.mean()), values), estimate(values, resamples=1000)
    assert (found.mean, found.low, found.high) == pytest.approx((plain.mean, plain.low, plain.high))


def test_a_statistic_of_means_is_not_the_mean_of_the_statistic():
    values = np.random.default_rng(4).normal(3.0, 1.0, size=2000)
    found = estimate_of(lambda mean: float(mean**2), values)
    half = 1.96 * 2 * 3.0 / np.sqrt(2000)  # the delta method
    assert found.mean == pytest.approx(values.mean() ** 2)
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half), abs=0.03)
    with pytest.raises(ValueError, match="must be finite"):
        estimate_of(float, [1.0, np.nan])
