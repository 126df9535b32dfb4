import pytest
import torch

from comparison.users.methods import Linear
from comparison.users.simulated import User
from comparison.users.trial import Interview
from comparison.users.wishes import believed, chosen, true_names, true_weights, wishes
from comparison.users.world import Pairs
from decoding.dimension import Dimension
from experts.miniature.corpus import prompts
from pcm.users.axes import Axes
from pcm.users.belief import Belief

OPPOSITES = {"elementary": "expert", "concise": "informative", "friendly": "unfriendly"}
AXES = Axes([Dimension(a, a, b) for pair in OPPOSITES.items() for a, b in (pair, pair[::-1])])
USER = User(torch.tensor([0.6, -1.0, 0.2, 1.0], dtype=torch.float64))


def test_a_user_s_true_wish_is_their_taste_the_strongest_in_full():
    assert true_weights(USER, AXES) == {"elementary": 0.6, "concise": -1.0, "friendly": pytest.approx(0.2)}


def test_a_user_names_the_pole_of_what_they_care_for_half_as_much_as_for_their_strongest():
    assert true_names(USER, AXES) == ("elementary", "informative")


def test_every_kind_of_wish_is_there_for_every_user():
    surely = Belief(torch.tensor([0.0, 3.0, -1.5, 1.0]).double(), 0.01 * torch.eye(4, dtype=torch.float64))
    found = wishes(AXES, [USER, USER], {"learned": [surely, Belief.before(4)]}, seed=0)
    assert set(found) == {"learned", "true", "true, in words"}
    assert found["learned"][0].weights == {"concise": 1.0, "friendly": -0.5}
    assert found["learned"][1] is None
    assert found["true"][0].weights == true_weights(USER, AXES)
    assert all(len(one.text.split()) > 3 for one in found["true, in words"])


def asked(outcomes):
    """An interview about pairs of which the first is always nearer to the first pole, and the pool."""
    question, count = prompts("validation")[0], len(outcomes)
    differences = torch.tensor([[6.0, 0.0, 0.0, 0.0]]).repeat(count, 1)
    said = [(question, f"first {place}", f"second {place}") for place in range(count)]
    return Interview(list(range(count))[::-1], torch.tensor(outcomes)), Pairs(differences, {"axes": differences}, said)


def test_the_answers_that_were_chosen_are_shown_with_their_questions():
    told, pool = asked([1.0, 0.0, 1.0])
    question = prompts("validation")[0].messages[-1]["content"]
    assert chosen(told, pool) == [(question, "first 2"), (question, "second 1"), (question, "first 0")]


def test_a_coin_is_believed_nothing():
    method = Linear("dimensions", "axes", Belief.before(4))
    assert float(believed(method, *asked([1.0] * 10)).mean[0]) > 0.3
    assert torch.equal(believed(method, *asked([1.0, 0.0] * 5)).mean, torch.zeros(4, dtype=torch.float64))
