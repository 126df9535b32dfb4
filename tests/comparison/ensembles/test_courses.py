"""Courses whose numbers can be read off by eye."""

import numpy as np
import pytest

from comparison.ensembles.courses import Course, claims, common_grid, courses_of, gaps_at_equal_nats, peak, report_of
from comparison.ensembles.page import page, picture, sheets

UPDATES = [0, 10, 20]
QUESTIONS = 3


def course(nats, gold, by_seed=(0.0, 0.0), spread=0.0):
    """Three questions, which differ by `spread`, and two seeds, by which gold differs after the first update."""
    shape = (QUESTIONS, len(nats), len(by_seed))
    questions = spread * np.array([-1.0, 0.0, 1.0])[:, None, None]
    later = (np.arange(len(nats)) > 0)[None, :, None]
    score = np.array(gold)[None, :, None] + later * np.array(by_seed)[None, None, :] + questions
    learned = np.broadcast_to(np.linspace(0.5, 0.9, len(nats))[None, :, None], shape)
    return Course(np.broadcast_to(np.array(nats)[None, :, None], shape), learned, np.ones(shape), score)


SINGLE = course([0.0, 4.0, 10.0], [0.4, 0.8, 0.2])
MEAN = course([0.0, 4.0, 8.0], [0.4, 0.8, 0.4])
LOW = course([0.0, 2.0, 5.0], [0.4, 0.6, 0.9], by_seed=(-0.1, 0.1))


@pytest.fixture
def report():
    found = report_of({"tone": {"single": SINGLE, "mean": MEAN, "lower-bound": LOW}}, UPDATES)
    settings = {"updates": 20, "members": 3, "lower_bound": 1.0, "pairs_per_reward": 9, "seeds": 2, "questions": 3}
    return {"settings": settings, "judges": {"tone": [{"single": 0.75, "ensemble": 0.8}] * 2}} | found


def test_curves_are_compared_where_both_have_been_and_between_their_points():
    ours, theirs = (np.array([0.0, 2.0, 4.0]), np.array([0.0, 2.0, 0.0])), (np.array([6.0, 0.0]), np.array([0.0, 0.0]))
    grid = common_grid(ours[0], theirs[0])
    assert (grid[0], grid[5], grid[-1], len(grid)) == (0.0, 1.0, 4.0, 21)
    gaps = gaps_at_equal_nats(*ours, *theirs)
    assert gaps[[0, 5, 10, 15, 20]] == pytest.approx([0.0, 1.0, 2.0, 1.0, 0.0])
    assert gaps_at_equal_nats(*theirs, *ours) == pytest.approx(-gaps)


def test_an_expert_that_comes_back_is_read_by_its_distance_and_not_by_its_updates():
    there_and_back = np.array([0.0, 4.0, 2.0]), np.array([0.0, 1.0, 3.0])
    straight = np.array([0.0, 4.0]), np.array([0.0, 0.0])
    assert gaps_at_equal_nats(*there_and_back, *straight)[[10, 15]] == pytest.approx([3.0, 2.0])


def test_the_end_is_held_against_the_single_arm_with_every_seed_named(report):
    low = report["dimensions"]["tone"]["lower-bound"]
    assert low["end"]["gold"]["mean"] == pytest.approx(0.9)
    assert low["end"]["nats"]["mean"] == pytest.approx(5.0)
    assert low["minus_single"]["mean"] == pytest.approx(0.7)
    assert low["by_seed"] == pytest.approx([0.6, 0.8])
    assert report["dimensions"]["tone"]["single"]["minus_single"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert report["all"]["lower-bound"]["minus_single"] == low["minus_single"]


def test_at_equal_distance_the_range_is_what_both_reached(report):
    found = report["dimensions"]["tone"]["lower-bound"]["at_equal_nats"]
    assert found["reach"] == pytest.approx(5.0)
    assert found["at_its_end"]["mean"] == pytest.approx(0.9 - 0.7)
    assert report["dimensions"]["tone"]["mean"]["at_equal_nats"]["at_its_end"]["mean"] == pytest.approx(0.4 - 0.4)
    assert np.mean(found["by_seed"]) == pytest.approx(found["over_the_range"]["mean"])
    assert found["by_seed"][1] > found["by_seed"][0]


def test_dimensions_are_taken_together_as_their_mean():
    other = {"single": course([0.0, 1.0], [0.5, 0.5]), "lower-bound": course([0.0, 1.0], [0.5, 0.1])}
    first = {"single": course([0.0, 1.0], [0.5, 0.5]), "lower-bound": course([0.0, 3.0], [0.5, 0.7])}
    found = report_of({"tone": first, "length": other}, [0, 10])["all"]["lower-bound"]
    assert found["minus_single"]["mean"] == pytest.approx((0.2 - 0.4) / 2)
    assert found["at_equal_nats"]["at_its_end"]["mean"] == pytest.approx((0.2 / 3 - 0.4) / 2)
    assert found["at_equal_nats"]["reach"] == pytest.approx(1.0)


def test_the_peak_is_where_gold_was_highest_and_the_fall_is_how_far_the_end_lies_below():
    found = peak(SINGLE, UPDATES)
    assert (found["update"], found["nats"]) == (10, pytest.approx(4.0))
    assert found["gold"]["mean"] == pytest.approx(0.8)
    assert found["fall"]["mean"] == pytest.approx(0.6)
    assert peak(LOW, UPDATES)["fall"]["mean"] == 0.0


@pytest.mark.parametrize(("gold", "holds"), [(0.9, True), (0.15, False), (0.25, False)])
def test_a_claim_holds_where_the_whole_interval_is_above_zero(gold, holds):
    """0.25 beside 0.2 is more on average, but not on every question."""
    low = course([0.0, 4.0, 10.0], [0.4, 0.8, gold], spread=0.2)
    found = report_of({"tone": {"single": SINGLE, "lower-bound": low}}, UPDATES)
    assert [one["holds"] for one in found["claims"]] == [holds, holds and found["claims"][1]["low"] > 0]
    assert claims(found["all"]["lower-bound"]) == found["claims"]


def test_courses_find_their_numbers_in_the_rows():
    def row(expert, question, **numbers):
        told = {"nats": 0.0, "learned": 0.5, "quality": 1.0, "dimensions": {"tone": 0.25, "length": 0.0}}
        return {"expert": expert, "question": question, **(told | numbers)}

    first = [row("tone-single", 1, quality=0.5), row("tone-single", 0), row("tone-mean", 0), row("tone-mean", 1)]
    later = [row("tone-single", 0, nats=3.0), row("tone-single", 1, nats=5.0, learned=0.7), *first[2:]]
    found = courses_of([{0: first, 10: later}], ["tone"], ["single", "mean"])["tone"]["single"]
    assert found.nats[:, :, 0].tolist() == [[0.0, 3.0], [0.0, 5.0]]
    assert found.learned[:, :, 0].tolist() == [[0.5, 0.5], [0.5, 0.7]]
    assert found.gold[:, :, 0].tolist() == [[0.25, 0.25], [0.125, 0.25]]


def test_the_page_and_the_picture_show_every_arm(report):
    text = page(report)
    assert "| tone: lower-bound | 0.900 [0.900, 0.900] | 1.000 | 0.900 | 0.900 | 5.0 |" in text
    assert "| tone: lower-bound | 0.700 [0.700, 0.700] | +0.600 +0.800 |" in text
    assert "| all: mean | 0.200 [0.200, 0.200] | +0.200 +0.200 |" in text
    assert "| more gold than a single reward model after the last update | 0.700 [0.700, 0.700] | yes |" in text
    assert "| tone: single | 10 | 4.0 | 0.800 [0.800, 0.800] | 0.600 [0.600, 0.600] |" in text
    assert "| tone | 0.750 0.750 | 0.800 0.800 |" in text
    assert len(list(sheets(report))) == 6
    gold, learned = picture(report).axes
    assert len(gold.get_lines()) == len(learned.get_lines()) == 9  # two seeds and their mean, three times
    assert gold.get_lines()[2].get_xydata().ravel().tolist() == pytest.approx([0, 0.4, 4, 0.8, 10, 0.2])
    assert list(learned.get_lines()[2].get_ydata()) == pytest.approx([0.5, 0.7, 0.9])
