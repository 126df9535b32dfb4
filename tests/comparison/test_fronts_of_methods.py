"""Fronts whose points and hypervolumes can be read off by eye."""

import numpy as np
import pytest

from comparison.fronts import front, sweep
from comparison.outcomes import Outcome
from comparison.scorers import Scores


def test_a_sweep_goes_from_one_dimension_to_the_other_and_always_asks_for_all_of_one():
    there_and_back = [("warm",), ("warm", "short=0.5"), ("warm", "short"), ("warm=0.5", "short"), ("short",)]
    assert sweep(("warm", "short")) == there_and_back
    three = sweep(("warm", "short", "plain"))
    assert len(three) == len(set(three)) == 19
    assert all(any("=" not in one for one in asked) for asked in three)


@pytest.mark.parametrize("dimensions", [("warm",), ("warm", "warm"), ("a", "b", "c", "d")])
def test_a_front_of_other_than_two_or_three_dimensions_is_refused(dimensions: tuple[str, ...]):
    with pytest.raises(ValueError, match="two or three different dimensions, got"):
        sweep(dimensions)


def obeys(effect: float, quality: float = 1.0, spread: float = 0.0) -> Outcome:
    """Four prompts, two seeds; what is asked for is reached in part, what is not asked for not at all."""
    noise = 1 + spread * np.array([-1.0, 1.0, -1.0, 1.0])

    def scores(asked: tuple[str, ...]) -> Scores:
        levels = {one.partition("=")[0]: float(one.partition("=")[2] or 1) for one in asked}
        reached = {name: effect * levels.get(name, 0.0) * noise for name in ("warm", "short")}
        return Scores(np.full(4, quality), reached)

    return Outcome({asked: [scores(asked)] * 2 for asked in sweep(("warm", "short"))})


def test_points_are_quality_times_score_and_the_hypervolume_is_what_they_command():
    found = front({"ours": obeys(0.8, 0.5), "theirs": obeys(0.2)}, ("warm", "short"), "ours")
    assert found["dimensions"] == ["warm", "short"]
    ours, theirs = (found["methods"][name] for name in ("ours", "theirs"))
    assert ours["points"]["warm"] == pytest.approx([0.4, 0.0])
    assert ours["points"]["warm=0.5+short"] == pytest.approx([0.2, 0.4])
    assert ours["hypervolume"] == pytest.approx({"mean": 0.16, "low": 0.16, "high": 0.16})
    assert theirs["reference_minus_ours"] == pytest.approx({"mean": 0.12, "low": 0.12, "high": 0.12})
    assert "reference_minus_ours" not in ours


def test_differences_are_paired_by_prompt():
    found = front({"ours": obeys(0.5, spread=0.4), "theirs": obeys(0.5, spread=0.4)}, ("warm", "short"), "ours")
    assert found["methods"]["theirs"]["reference_minus_ours"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    own = found["methods"]["ours"]["hypervolume"]
    assert own["mean"] == pytest.approx(0.25)
    assert own["low"] < own["mean"] < own["high"]


def test_without_the_reference_nobody_is_held_against_it():
    found = front({"theirs": obeys(0.5)}, ("warm", "short"), "ours")
    assert set(found["methods"]["theirs"]) == {"points", "hypervolume"}
