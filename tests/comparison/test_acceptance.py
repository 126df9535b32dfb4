"""Where an expert moves what is not its own."""

from comparison.acceptance import acceptance, drift
from comparison.page import experts_sheet

NAMES = ("warm", "cold", "short", "long")
AXES = [["warm", "cold"], ["short", "long"]]


def numbers(mean):
    return {"mean": mean, "low": mean, "high": mean}


def entry(*scores):
    return {"1": {"quality": numbers(1.0), "by_dimension": dict(zip(NAMES, map(numbers, scores), strict=True))}}


def report(warm_expert):
    experts = {
        "expert-warm": entry(*warm_expert),
        "expert-cold": entry(0.1, 0.95, 0.5, 0.5),
        "expert-short": entry(0.5, 0.5, 0.95, 0.1),
        "expert-long": entry(0.5, 0.5, 0.1, 0.95),
    }
    controlled = entry(0.9, 0.9, 0.9, 0.9)
    controlled["1"]["contrast"] = {}
    methods = {"base": entry(0.5, 0.5, 0.5, 0.5), **experts, "pcm-anchored": controlled}
    pairs = {"pcm-anchored|fixed-uniform": {"1": {"difference": numbers(0.1)}}}
    beside = {name: {"1": {"beyond_base": numbers(0.0), "nats": numbers(3.0)}} for name in NAMES}
    return {"methods": methods, "experts": beside, "axes": AXES, "controlled": "pcm-anchored", "pairs": pairs}


def test_an_expert_s_drift_is_where_it_moved_most_on_another_axis_whichever_way():
    other, moved = drift(report((0.95, 0.1, 0.6, 0.3)), "warm", "1")
    assert (other, round(moved, 6)) == ("long", -0.2)


def test_an_expert_that_moves_another_axis_is_not_good_enough():
    assert all(line["holds"] for line in acceptance(report((0.95, 0.1, 0.6, 0.4)), "1"))
    broken = [line["claim"] for line in acceptance(report((0.95, 0.1, 0.6, 0.3)), "1") if not line["holds"]]
    assert broken == ["the warm expert elsewhere, most on long"]


def test_the_table_of_experts_names_what_they_moved():
    assert experts_sheet(report((0.95, 0.1, 0.6, 0.3)), "1").rows[0][-2:] == ["3.000 [3.000, 3.000]", "-0.200 long"]
