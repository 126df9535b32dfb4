"""Nothing is found where nothing is: the rate of false alarms is the one that was promised."""

import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy import stats

from evaluation import corrections
from evaluation.corrections import holm, paired_p_values, swaps_for
from evaluation.intervals import difference, prompt_means


def shuffled_labels(rng: np.random.Generator, methods: int, prompts: int = 40) -> list[np.ndarray]:
    """Methods that truly differ by much, their labels dealt anew at every prompt: no method is the best of them."""
    hardness = rng.random((prompts, 1, 1))
    strength = np.linspace(0, 1, methods)[None, :, None]
    scores = np.clip(0.5 * hardness + 0.5 * strength + 0.2 * rng.normal(size=(prompts, methods, 3)), 0, 1)
    dealt = rng.permuted(np.tile(np.arange(methods), (prompts, 1)), axis=1)  # (prompts, methods)
    return [scores[np.arange(prompts), dealt[:, label]] for label in range(methods)]


def p_value(ours: ArrayLike, theirs: ArrayLike, *, resamples: int = 4999) -> float:
    """Of one pair."""
    return float(paired_p_values((prompt_means(ours) - prompt_means(theirs))[:, None], resamples=resamples)[0])


def test_shuffled_labels_give_a_winner_in_one_of_twenty_comparisons():
    rng = np.random.default_rng(0)
    by_interval, by_test, trials = 0, 0, 300
    for _ in range(trials):
        one, other = shuffled_labels(rng, 2)
        found = difference(one, other)
        by_interval += found.low > 0 or found.high < 0
        by_test += p_value(one, other, resamples=199) < 0.05
    assert 0.025 <= by_interval / trials <= 0.085
    assert 0.025 <= by_test / trials <= 0.085


def test_many_comparisons_of_shuffled_labels_give_a_winner_in_one_of_twenty_studies_at_most():
    """Uncorrected, every third study of five methods would find a difference somewhere."""
    rng = np.random.default_rng(1)
    corrected, plain, studies = 0, 0, 100
    for _ in range(studies):
        methods = shuffled_labels(rng, 5)
        p_values = {name: p_value(methods[0], methods[name], resamples=299) for name in range(1, 5)}
        plain += min(p_values.values()) < 0.05
        corrected += min(holm(p_values).values()) < 0.05
    assert corrected / studies <= 0.1
    assert plain / studies > 0.09


def test_a_difference_that_is_there_is_found():
    rng = np.random.default_rng(2)
    hardness = rng.normal(size=30)
    assert p_value(hardness + 0.3 + 0.2 * rng.normal(size=30), hardness) < 0.001
    assert p_value([0.0, 1.0, 0.5], [0.0, 1.0, 0.5]) == 1.0
    assert p_value([1.0], [0.0]) == 1.0
    assert p_value([0.1, 0.2, -0.3], np.zeros(3)) == 1.0  # a sum of 3e-17


def test_four_prompts_on_one_side_are_two_swaps_in_sixteen():
    assert p_value([1.0, 2.0, 3.0, 4.0], np.zeros(4)) == pytest.approx(2 / 16)


@pytest.mark.parametrize("prompts", [2, 7, 10, 30])
def test_many_tests_together_are_as_scipy_does_each_alone(prompts):
    """All the swaps where there are few of them, else the same law from other draws."""
    rng = np.random.default_rng(3)
    gaps = rng.normal(size=(prompts, 6)) + np.array([0, 0.1, 0.2, 0.3, -0.3, 0.5])
    found = paired_p_values(gaps, resamples=20000)
    alone = [
        stats.permutation_test(
            (column,), np.mean, permutation_type="samples", vectorized=True, n_resamples=20000, rng=rng
        ).pvalue
        for column in gaps.T
    ]
    assert found == pytest.approx(np.array(alone), rel=1e-9 if prompts < 14 else 0.1, abs=0 if prompts < 14 else 0.002)


def test_parts_of_the_swaps_are_no_other_swaps(monkeypatch):
    gaps = np.random.default_rng(4).normal(size=(20, 3)) + 0.2
    whole = paired_p_values(gaps, resamples=500)
    few = paired_p_values(gaps[:5])
    monkeypatch.setattr(corrections, "BATCH", 7)
    assert paired_p_values(gaps, resamples=500).tolist() == whole.tolist()
    assert paired_p_values(gaps[:5]).tolist() == few.tolist()


def test_holm_on_his_own_terms():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    )
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_what_cannot_be_tested_is_refused():
    with pytest.raises(ValueError, match=r"p-values must be in \[0, 1\], got {'a': 1.5}"):
        holm({"a": 1.5})
    with pytest.raises(ValueError, match=r"prompts by tests, got one of shape \(2,\)"):
        paired_p_values([0.0, 1.0])
    with pytest.raises(ValueError, match="finite numbers"):
        paired_p_values([[0.0], [np.nan]])


@pytest.mark.parametrize("tests", [1, 15, 136, 1000])
def test_a_difference_without_any_doubt_survives_the_correction_for_any_number_of_tests(tests):
    gaps = np.full(40, 0.1) + np.linspace(-0.01, 0.01, 40)
    assert p_value(gaps, np.zeros(40), resamples=swaps_for(tests)) * tests < 0.05
