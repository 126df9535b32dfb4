import numpy as np
import pytest

from evaluation.ratings import bradley_terry, matches


def test_answers_at_the_same_place_are_compared():
    found = matches([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 0.0], [0.6, 0.1 + 0.4]]])
    assert found.wins.tolist() == [[0, 1], [1, 0]]
    assert found.ties.tolist() == [[0, 2], [2, 0]]
    assert found.points.tolist() == [[0, 2], [2, 0]]
    assert matches([[1.0, 1.0], [0.0, 1.0]]).wins.tolist() == [[0, 1], [0, 0]]


def test_two_methods_differ_by_the_log_odds_of_a_win():
    one, other = bradley_terry([[0, 30], [10, 0]], prior=0.0)
    assert one - other == pytest.approx(np.log(3), abs=1e-6)
    assert one + other == pytest.approx(0.0, abs=1e-9)


def test_points_that_strengths_explain_exactly_give_those_strengths():
    strengths = np.array([0.7, 0.1, -0.8])
    chances = 1 / (1 + np.exp(strengths[None] - strengths[:, None]))
    games = np.array([[0, 50, 10], [50, 0, 70], [10, 70, 0]])  # uneven, so that a plain share of wins would be wrong
    assert bradley_terry(games * chances, prior=0.0) == pytest.approx(strengths, abs=1e-6)


def test_whoever_never_loses_is_strong_but_not_infinitely():
    with pytest.raises(ValueError, match="directly or through others: give a prior"):
        bradley_terry([[0, 9], [0, 0]], prior=0.0)
    one, other = bradley_terry([[0, 9], [0, 0]])
    assert one - other == pytest.approx(np.log(9.5 / 0.5), abs=1e-5)


def test_what_is_no_match_is_refused():
    with pytest.raises(ValueError, match="one shape"):
        matches([[1.0], [1.0, 2.0]])
    with pytest.raises(ValueError, match="finite, got 1"):
        matches([[1.0], [np.nan]])
    with pytest.raises(ValueError, match="square of numbers"):
        bradley_terry([[0.0, -1.0], [0.0, 0.0]])
