"""Numbers of the report that can be worked out by hand."""

import json

import numpy as np
import pytest
from scripted import DIMENSIONS, SETTINGS, good_outcomes, outcome, unhearing

from comparison.report import report_of


@pytest.fixture
def report():
    return report_of(good_outcomes(), DIMENSIONS, "pcm-anchored", None, SETTINGS)


def certain(value: float) -> dict[str, float]:
    return pytest.approx({"mean": value, "low": value, "high": value})


def test_utility_quality_and_preference_are_means_over_preferences(report):
    entry = report["methods"]["pcm-anchored"]["1"]
    assert entry["utility"] == certain((1.0 * 0.9 + 0.8 * 0.7) / 2)
    assert entry["quality"] == certain(0.9)
    assert entry["preference"] == certain(0.8)
    assert entry["by_preference"] == {"warm": certain(0.9), "cold": certain(0.56)}


def test_a_dimension_is_scored_where_it_is_asked_for(report):
    assert report["methods"]["pcm-anchored"]["1"]["by_dimension"] == {"warm": certain(0.9), "cold": certain(0.7)}
    assert report["methods"]["expert-cold"]["1"]["by_dimension"] == {"warm": certain(0.1), "cold": certain(0.93)}


def test_a_contrast_is_the_same_score_on_the_answers_for_the_opposite(report):
    """Not the opposite's score on what the opposite asks for: that would be 0.9 - 0.7 both times."""
    contrast = report["methods"]["pcm-anchored"]["1"]["contrast"]
    assert contrast == {"warm": certain(0.9 - 0.2), "cold": certain(0.7 - 0.1)}
    assert report["methods"]["base"]["1"]["contrast"] == {"warm": certain(0.0), "cold": certain(0.0)}


def test_pairs_are_ours_minus_theirs(report):
    pair = report["pairs"]["pcm-anchored|fixed-uniform"]["1"]
    assert pair["difference"] == certain(0.73 - 0.55)
    assert pair["win_rate"] == certain(1.0)
    assert len(report["pairs"]) == 4


def test_every_line_of_acceptance_holds_for_a_good_bundle(report):
    lines = report["acceptance"]["1"]
    assert len(lines) == 1 + 3 * 2 + 1 + 2
    assert all(line["holds"] for line in lines), lines


@pytest.mark.parametrize(
    ("method", "worse", "claim"),
    [
        ("base", unhearing(0.94, 0.5, 0.5), "quality of the base"),
        ("expert-warm", unhearing(0.99, 0.91, 0.0), "warm expert on its dimension"),
        ("expert-cold", unhearing(0.97, 0.1, 0.95), "quality of the cold expert beyond the base's"),
        ("fixed-uniform", outcome({("warm",): (1, 0.9, 0.1), ("cold",): (0.8, 0.2, 0.7)}), "pcm-anchored above"),
        ("pcm-anchored", outcome({("warm",): (1, 0.9, 0.6), ("cold",): (1, 0.1, 0.89)}), "cold against its opposite"),
    ],
)
def test_one_thing_that_is_not_good_enough_breaks_one_line(method, worse, claim):
    report = report_of(good_outcomes() | {method: {1.0: worse}}, DIMENSIONS, "pcm-anchored", None, SETTINGS)
    broken = [line["claim"] for line in report["acceptance"]["1"] if not line["holds"]]
    assert len(broken) == 1
    assert broken[0].startswith(claim)


def test_an_expert_stands_beside_the_base_question_by_question():
    nats = {"warm": {1.0: np.array([[[1.0, 3.0]], [[4.0, 4.0]]])}}
    report = report_of(good_outcomes(), DIMENSIONS, "pcm-anchored", None, SETTINGS, nats)
    assert report["experts"]["warm"]["1"]["beyond_base"] == certain(-0.01)
    assert report["experts"]["warm"]["1"]["nats"]["mean"] == 3.0
    assert report["experts"]["cold"]["1"]["nats"] is None


def test_the_report_is_plain_json(report):
    assert json.loads(json.dumps(report)) == report
