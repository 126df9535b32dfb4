from tiny_bundle import DIMENSIONS

from comparison.combinations import combinations, label, opposite, strengths, weighted
from decoding.dimension import Dimension
from experts.miniature import corpus
from experts.miniature.world import dimension_data

WORLD = tuple(
    Dimension(name, entry["description"], entry["opposite"]) for name, entry in dimension_data()["dimensions"].items()
)


def test_the_world_has_eight_preferences():
    assert combinations(WORLD) == corpus.combinations()


def test_an_axis_may_have_one_pole():
    assert combinations(DIMENSIONS) == [("friendly", "concise"), ("unfriendly", "concise")]


def test_the_opposite_takes_the_other_pole_of_each_axis():
    assert opposite(("expert", "concise", "friendly"), WORLD) == ("elementary", "informative", "unfriendly")
    assert all(opposite(opposite(asked, WORLD), WORLD) == asked for asked in combinations(WORLD))
    assert opposite(("friendly", "concise"), DIMENSIONS) == ("unfriendly", "concise")


def test_a_preference_says_how_strongly_where_it_is_not_in_full():
    assert strengths(("friendly=0.5", "concise")) == {"friendly": 0.5, "concise": 1.0}
    assert weighted({"friendly": 0.5, "concise": 1.0}) == ("friendly=0.5", "concise")
    assert opposite(("friendly=0.5", "concise"), DIMENSIONS) == ("unfriendly=0.5", "concise")


def test_one_pole_that_names_its_opposite_is_enough():
    warm, cold = Dimension("warm", "The answer is warm.", "cold"), Dimension("cold", "The answer is cold.")
    assert combinations([cold, warm]) == [("warm",), ("cold",)]
    assert opposite(("cold",), [cold, warm]) == ("warm",)


def test_an_opposite_that_nobody_can_ask_for_is_no_pole():
    alone = (Dimension("friendly", "The answer is warm.", "unfriendly"),)
    assert combinations(alone) == [("friendly",)]


def test_labels_are_names():
    assert label(("friendly", "concise")) == "friendly+concise"
