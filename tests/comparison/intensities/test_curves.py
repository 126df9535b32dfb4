"""Curves whose numbers can be read off by eye."""

import numpy as np
import pytest

from comparison.intensities.curves import LEVELS, asked_at, curves_of, preferences
from comparison.intensities.page import page, picture, sheets
from comparison.outcomes import Outcome
from comparison.scorers import Scores


def scored(warm: float, cold: float = 0.5, quality: float = 1.0) -> list[Scores]:
    return [Scores(np.full(3, quality), {"warm": np.full(3, warm), "cold": np.full(3, cold)})]


def outcomes(warm: tuple[float, ...], expert: float = 0.9) -> dict[str, Outcome]:
    """A base at .1, an expert, and a mixture with these scores on `warm` at the levels; `cold` never moves."""
    everything = preferences(["warm", "cold"])
    swept = {asked_at("warm", level): scored(score) for level, score in zip(LEVELS, warm, strict=True)}
    swept |= {asked_at("cold", level): scored(0.1, quality=level) for level in LEVELS}
    deaf = {
        name: Outcome(dict.fromkeys(everything, scored(value))) for name, value in (("base", 0.1), ("high", expert))
    }
    return {"base": deaf["base"], "expert-warm": deaf["high"], "expert-cold": deaf["high"], "mixed": Outcome(swept)}


def claims_of(warm: tuple[float, ...], expert: float = 0.9) -> dict[str, tuple[float, bool]]:
    found = curves_of(outcomes(warm, expert), ["mixed"], ["warm", "cold"])["mixed"]["claims"]
    return {line["claim"]: (round(line["value"], 6), line["holds"]) for line in found}


def test_a_curve_begins_at_the_base_and_ends_where_everything_is_asked_for():
    curve = curves_of(outcomes((0.3, 0.5, 0.6, 0.8)), ["mixed"], ["warm", "cold"])["mixed"]["curves"]
    assert curve["warm"]["levels"] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert [round(one["mean"], 6) for one in curve["warm"]["scores"]] == [0.1, 0.3, 0.5, 0.6, 0.8]
    assert [round(one["mean"], 6) for one in curve["warm"]["steps"]] == [0.2, 0.2, 0.1, 0.2]
    assert round(curve["warm"]["range"]["mean"], 6) == 0.7
    assert round(curve["warm"]["to_expert"]["mean"], 6) == 0.8
    assert [one["mean"] for one in curve["cold"]["quality"]] == [1.0, 0.25, 0.5, 0.75, 1.0]


def test_a_curve_that_rises_evenly_to_its_expert_holds():
    assert claims_of((0.3, 0.5, 0.7, 0.8)) == {
        "warm rises: smallest step": (0.1, True),
        "warm has no jump: largest step": (round(0.2 / 0.7, 6), True),
        "warm reaches its expert": (round(0.7 / 0.8, 6), True),
        # What never moves has neither risen, nor a range, nor a way to go.
        "cold rises: smallest step": (0.0, False),
        "cold has no jump: largest step": (1.0, False),
        "cold reaches its expert": (0.0, False),
    }


@pytest.mark.parametrize(
    ("warm", "broken"),
    [
        ((0.4, 0.35, 0.6, 0.8), "rises: smallest step"),
        ((0.7, 0.75, 0.78, 0.8), "has no jump: largest step"),
        ((0.2, 0.3, 0.4, 0.5), "reaches its expert"),
    ],
)
def test_a_curve_that_falls_jumps_or_stays_behind_does_not(warm: tuple[float, ...], broken: str):
    held = {claim: holds for claim, (_, holds) in claims_of(warm).items() if claim.startswith("warm")}
    assert held == {claim: claim != f"warm {broken}" for claim in held}


def test_the_page_tells_every_level_and_what_does_not_hold():
    found = curves_of(outcomes((0.7, 0.75, 0.78, 0.8)), ["mixed"], ["warm", "cold"])
    settings = {"bundle": "0123456789abcdef", "prompts": 3, "seeds": 1, "judge": "gold"}
    report = {"settings": settings, "temperatures": {"1": found}}
    text = page(report)
    assert "| warm | 0.100 | 0.700 | 0.750 | 0.780 | 0.800 | 0.900 |" in text
    assert "| warm has no jump: largest step | 0.857 | 0.50 | NO |" in text
    assert len(list(sheets(report))) == 2
    warm = picture(report, "1", "mixed").axes[0].get_lines()[0]
    assert list(warm.get_ydata()) == pytest.approx([0.1, 0.7, 0.75, 0.78, 0.8, 0.9])
