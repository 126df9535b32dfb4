import pytest

from comparison.bench.training.page import sheets
from comparison.bench.training.timing import JOINT, SINGLE, TRL, claims_of, per_round, rows_of, ways_in

OURS = [
    {(JOINT, "all"): 4.0, (SINGLE, "ant"): 5.0, (SINGLE, "bee"): 7.0},
    {(JOINT, "all"): 8.0, (SINGLE, "ant"): 10.0, (SINGLE, "bee"): 14.0},  # a round in which everything was slow
    {(JOINT, "all"): 5.0, (SINGLE, "ant"): 4.0, (SINGLE, "bee"): 4.0},
]
THEIRS = [{(TRL, "ant"): 4.0, (TRL, "bee"): 6.0}, {(TRL, "ant"): 5.0, (TRL, "bee"): 11.0}, {(TRL, "ant"): 20.0}]
WITH_TRL = [ours | theirs for ours, theirs in zip(OURS, THEIRS, strict=True)]
BEFORE = {(JOINT, "all"): 9.0, (SINGLE, "ant"): 5.0, (SINGLE, "bee"): 6.0, (TRL, "ant"): 1.0, (TRL, "bee"): 2.0}


def test_runs_of_one_way_that_would_follow_each_other_are_added_up():
    assert per_round(WITH_TRL, JOINT) == [4, 8, 5]
    assert per_round(WITH_TRL, SINGLE) == [12, 24, 8]
    assert per_round(WITH_TRL, TRL) == [10, 16, 20]


def test_a_row_has_medians_and_what_is_needed_before():
    joint, single, trl = rows_of(WITH_TRL, BEFORE, updates=10)
    assert (joint["way"], joint["trainees"], joint["seconds"], joint["before"]) == (JOINT, 1, 5.0, 9.0)
    assert joint["minutes"] == pytest.approx((9 + 10 * 5) / 60)
    assert (single["trainees"], single["seconds"], single["spread"], single["before"]) == (2, 12.0, 8.0, 11.0)
    assert trl["before"] == 3.0
    assert trl["each_round"] == [10, 16, 20]


def test_shares_are_taken_within_rounds_so_that_a_slow_round_bends_none():
    _, single, trl = rows_of(WITH_TRL, BEFORE, updates=10)
    assert single["joint_share"] == pytest.approx(1 / 3)  # of 1/3, 1/3 and 5/8; of medians it would be 5/12
    assert trl["joint_share"] == pytest.approx(0.4)


def test_the_joint_training_may_take_half_of_our_own_time_and_a_third_of_trls():
    single, trl = claims_of(WITH_TRL)
    assert single == {"claim": "joint ÷ single, seconds", "value": pytest.approx(1 / 3), "bound": 0.5, "holds": True}
    assert trl == {"claim": "joint ÷ trl, seconds", "value": pytest.approx(0.4), "bound": 1 / 3, "holds": False}


def test_without_trl_nothing_is_said_of_it():
    assert ways_in(OURS) == [JOINT, SINGLE]
    assert [line["claim"] for line in claims_of(OURS)] == ["joint ÷ single, seconds"]
    assert [row["way"] for row in rows_of(OURS, BEFORE, 10)] == [JOINT, SINGLE]


def estimate(mean):
    return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1}


def entry(own, quality):
    worth = {"own": own, "quality": quality}
    return {name: {"mean": estimate(mean), "joint_minus": estimate(0.5 - mean)} for name, mean in worth.items()}


def report(rounds, gold=None):
    settings = {"dimensions": ["ant", "bee"], "threads": 2, "prompts_per_update": 24, "updates": 10, "questions": 9}
    before = {who: BEFORE[who] for who in rounds[0]} if rounds else {}
    rows, claims = (rows_of(rounds, before, 10), claims_of(rounds)) if rounds else ([], [])
    return {"settings": settings, "rows": rows, "claims": claims, "gold": gold or {}}


def test_the_tables_show_each_way_and_what_is_asked():
    found = report(WITH_TRL, {JOINT: entry(0.5, 0.5), TRL: entry(0.25, 0.125)})
    told = {"joint all": [{"kl": [1.0]}], "trl friendly": [{"objective/kl": 2.0}]}
    timing, gold, claims = sheets({**found, "told": told})
    assert "2 experts, 24 answers of each in an update, 10 updates, threads 2:" in timing.title
    assert timing.rows[2] == ["trl", "2", "16.00 ± 5.00", "3.0", "2.7", "0.40"]
    assert "9 questions" in gold.title
    own, quality = ("0.250 [0.150, 0.350]", "0.250 [0.150, 0.350]"), ("0.125 [0.025, 0.225]", "0.375 [0.275, 0.475]")
    assert gold.rows[1] == ["trl", *own, *quality, "2.00"]
    assert claims.rows[1] == ["joint ÷ trl, seconds", "0.400", "0.333", "NO"]


def test_nothing_is_shown_of_what_was_not_measured():
    assert not list(sheets(report([])))
    timing, claims = sheets(report(OURS))
    assert len(timing.rows) == 2
    assert len(claims.rows) == 1
