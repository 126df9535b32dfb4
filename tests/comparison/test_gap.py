"""The share of a gap, with utilities that can be read off by eye."""

import numpy as np
import pytest

from comparison.gap import CLEAR, gap_closed
from comparison.outcomes import Outcome
from comparison.scorers import Scores

PROMPTS = 6
WOBBLE = np.linspace(-0.02, 0.02, PROMPTS)


def outcome(warm: float, cold: float, seeds: int = 1) -> Outcome:
    """Utilities under two preferences, which differ between questions by the same wobble for every method."""
    quality = np.ones(PROMPTS)
    scores = {
        (name,): [Scores(quality, {name: worth + WOBBLE})] * seeds for name, worth in (("warm", warm), ("cold", cold))
    }
    return Outcome(scores)


def test_the_share_is_that_of_the_means_and_under_each_preference():
    found = gap_closed(outcome(0.6, 0.7), outcome(0.5, 0.5), outcome(0.7, 0.9))
    assert found["closed"]["mean"] == pytest.approx(0.5)
    assert found["closed"]["low"] == pytest.approx(0.5)
    assert found["by_preference"]["warm"]["closed"]["mean"] == pytest.approx(0.5)
    assert found["by_preference"]["cold"]["gap"]["mean"] == pytest.approx(0.4)
    assert found["goal_minus_ours"]["mean"] == pytest.approx(0.15)


def test_a_preference_without_a_clear_gap_is_set_apart():
    found = gap_closed(outcome(0.6, 0.1), outcome(0.5, 0.5), outcome(0.7, 0.5 + CLEAR / 2))
    assert found["by_preference"]["cold"]["closed"] is None
    assert found["by_preference"]["cold"]["gain"]["mean"] == pytest.approx(-0.4)
    assert found["closed"]["mean"] == pytest.approx(0.5)


def test_there_is_no_share_of_no_gap():
    assert gap_closed(outcome(0.6, 0.6), outcome(0.5, 0.5), outcome(0.4, 0.5))["closed"] is None


def test_methods_may_have_other_numbers_of_seeds():
    found = gap_closed(outcome(0.6, 0.6, seeds=3), outcome(0.5, 0.5), outcome(0.9, 0.9, seeds=2))
    assert found["closed"]["mean"] == pytest.approx(0.25)
