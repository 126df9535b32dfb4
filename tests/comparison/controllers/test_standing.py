"""Standings whose numbers can be read off by eye."""

import numpy as np
import pytest

from comparison.controllers.family import variants
from comparison.controllers.page import page
from comparison.controllers.standing import standings
from comparison.outcomes import Outcome
from comparison.scorers import Scores

WARM, COLD = ("warm",), ("cold",)


def constant(utility: float, spread: float = 0.0) -> Outcome:
    """Three prompts, two preferences, one seed: the utilities are `utility`, more or less `spread`."""
    values = utility + spread * np.array([-1.0, 0.0, 1.0])
    scores = [Scores(np.ones(3), {"warm": values, "cold": values})]
    return Outcome({WARM: scores, COLD: scores})


def rounded(estimate: dict[str, float]) -> list[float]:
    return [round(estimate[key], 6) for key in ("mean", "low", "high")]


def test_the_gain_of_another_controller_is_told_as_a_share_of_the_first_ones():
    members = {"ours": constant(0.8), "other": constant(0.65)}
    found = standings(constant(0.5), members, variants(members), dict.fromkeys(members, constant(0.5)))
    assert rounded(found["ours"]["gain"]) == [0.3] * 3
    assert rounded(found["ours"]["kept"]) == [1.0] * 3
    assert rounded(found["other"]["kept"]) == [0.5] * 3
    assert rounded(found["other"]["minus_first"]) == [-0.15] * 3
    assert found["other"]["wins_over_uniform"]["mean"] == 1.0


def test_training_seeds_are_one_variant_and_each_is_named():
    members = {"ours/1": constant(0.7), "ours/2": constant(0.9), "other": constant(0.8)}
    assert variants(members) == {"ours": ["ours/1", "ours/2"], "other": ["other"]}
    found = standings(constant(0.5), members, variants(members), dict.fromkeys(members, constant(0.5)))
    assert found["ours"]["utility"]["mean"] == pytest.approx(0.8)
    assert found["ours"]["members"] == pytest.approx([0.7, 0.9])
    assert rounded(found["other"]["kept"]) == [1.0] * 3


def test_a_controller_of_another_rule_is_held_against_the_uniform_mixture_of_its_own_as_well():
    members = {"ours": constant(0.8), "other/1": constant(0.5), "other/2": constant(0.7)}
    own = {"ours": constant(0.5), "other/1": constant(0.2), "other/2": constant(0.2)}
    found = standings(constant(0.5), members, variants(members), own)
    assert rounded(found["ours"]["own_gain"]) == rounded(found["ours"]["gain"]) == [0.3] * 3
    assert rounded(found["other"]["gain"]) == [0.1] * 3
    assert rounded(found["other"]["own_gain"]) == [0.4] * 3


def test_nothing_is_a_share_of_a_gain_that_may_be_none():
    members = {"ours": constant(0.5, spread=0.2), "other": constant(0.6)}
    assert (
        standings(constant(0.5), members, variants(members), dict.fromkeys(members, constant(0.5)))["other"]["kept"]
        is None
    )


def test_the_page_has_a_line_for_each_variant():
    members = {"ours/1": constant(0.7), "ours/2": constant(0.9), "other": constant(0.65)}
    found = {"uniform": {"mean": 0.5, "low": 0.5, "high": 0.5}}
    found["controllers"] = standings(constant(0.5), members, variants(members), dict.fromkeys(members, constant(0.5)))
    settings = {"prompts": 3, "preferences": ["warm", "cold"], "seeds": 1, "judge": "gold"}
    text = page({"settings": settings, "temperatures": {"0": found}})
    assert "the uniform mixture, by the first one's rule, has 0.500" in text
    assert text.splitlines()[-2].startswith("| ours | 0.800")
    assert text.splitlines()[-2].endswith("0.700, 0.900 |")
    assert "| other | 0.650" in text
