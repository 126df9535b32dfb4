import pytest

from comparison.bench.summaries import median, paired_ratio, spread


def test_the_median_ignores_one_slow_round():
    assert median([2.0, 3.0, 90.0, 1.0, 2.5]) == 2.5
    assert median([1.0, 4.0]) == 2.5


def test_the_spread_is_the_distance_between_quartiles():
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == 2.0
    assert spread([7.0, 7.0, 7.0]) == 0.0


def test_a_ratio_is_taken_round_by_round_so_that_drift_divides_out():
    slowing = [1.0, 2.0, 4.0, 8.0, 16.0]
    assert paired_ratio([3 * value for value in slowing], slowing) == 3.0
    assert paired_ratio([1.0, 10.0, 4.0], [2.0, 5.0, 1.0]) == 2.0  # of the medians it would be 4 / 2


def test_the_ratio_of_medians_would_be_another_number():
    values, others = [1.0, 10.0, 6.0], [1.0, 2.0, 9.0]
    assert paired_ratio(values, others) == 1.0
    assert median(values) / median(others) == 3.0


def test_nothing_has_no_median():
    for summary in (median, spread):
        with pytest.raises(ValueError, match="at least one round, got none"):
            summary([])


def test_rounds_that_only_one_has_do_not_count():
    assert paired_ratio([2.0, 4.0, 90.0], [1.0, 1.0]) == 3.0
    with pytest.raises(ValueError, match="at least one round, got none"):
        paired_ratio([1.0], [])
