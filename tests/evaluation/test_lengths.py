import numpy as np
import pytest

from evaluation.intervals import difference
from evaluation.lengths import length_controlled


def test_what_length_alone_gains_is_taken_away():
    rng = np.random.default_rng(0)
    gaps = rng.normal(10, 10, size=300)
    bent = np.tanh(gaps / np.sqrt((gaps**2).mean()))
    score = 0.1 + 0.4 * bent + 0.05 * rng.normal(size=300)
    found = length_controlled(score, np.zeros(300), gaps + 50, np.full(300, 50.0))
    assert found.low < 0.1 < found.high
    assert found.high - found.low < 0.05
    assert difference(score, np.zeros(300)).low > 0.25


def test_equal_lengths_leave_the_plain_difference():
    ours, theirs = np.random.default_rng(1).random((2, 20))
    lengths = np.arange(20.0)
    assert length_controlled(ours, theirs, lengths, lengths) == difference(ours, theirs)


def test_swapping_the_sides_swaps_the_sign():
    rng = np.random.default_rng(2)
    ours, theirs, our_lengths, their_lengths = rng.random((4, 25))
    one = length_controlled(ours, theirs, our_lengths, their_lengths)
    other = length_controlled(theirs, ours, their_lengths, our_lengths)
    assert (one.mean, one.low, one.high) == pytest.approx((-other.mean, -other.high, -other.low))


def test_too_few_prompts_are_refused():
    with pytest.raises(ValueError, match=r"three prompts or more everywhere, got \[2, 2, 2, 2\]"):
        length_controlled([0, 1], [0, 1], [0, 1], [0, 1])
