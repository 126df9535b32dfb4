import torch

from decoding.dimension import Dimension
from pcm.users.axes import Axes
from pcm.users.belief import Belief

DIMENSIONS = [
    Dimension("easy", "Easy.", "hard"),
    Dimension("hard", "Hard.", "easy"),
    Dimension("funny", "Funny."),
    Dimension("short", "Short.", "long"),  # nobody serves the other pole
]


def test_opposite_poles_that_are_both_known_are_one_axis():
    axes = Axes(DIMENSIONS)
    assert axes.names == ("easy", "funny", "short", "quality")
    assert axes.scores == ("easy", "hard", "funny", "short", "quality")
    placed = axes.of(torch.tensor([[3.0, -1.0, 0.5, 2.0, 7.0], [0.0, 2.0, 0.0, 0.0, 0.0]]))
    assert placed.tolist() == [[2.0, 0.5, 2.0, 7.0], [-1.0, 0.0, 0.0, 0.0]]


def test_one_pole_that_names_its_opposite_names_the_axis():
    """It alone may be asked for with a negative number, which means the other pole."""
    cold, warm = Dimension("cold", "Cold."), Dimension("warm", "Warm.", "cold")
    assert Axes([warm, cold]).poles == Axes([cold, warm]).poles == [("warm", "cold")]
    assert Axes([cold, warm]).scores == ("cold", "warm", "quality")


def believed(mean, deviation):
    return Belief(torch.tensor(mean).double(), torch.tensor(deviation).double().square().diag())


def test_the_strongest_axis_is_asked_for_in_full_and_what_is_unsure_not_at_all():
    weights = Axes(DIMENSIONS).weights(believed([-2.0, 1.0, 0.3, 9.0], [0.5, 0.5, 0.5, 0.5]))
    assert weights == {"easy": -1.0, "funny": 0.5}


def test_an_axis_without_another_pole_is_not_asked_for_when_it_is_disliked():
    weights = Axes(DIMENSIONS).weights(believed([1.0, -2.0, -1.0, 0.0], [0.1, 0.1, 0.1, 0.1]))
    assert weights == {"easy": 0.5}


def test_nothing_is_asked_for_where_nothing_is_known():
    axes = Axes(DIMENSIONS)
    assert axes.weights(Belief.before(4)) == {}
