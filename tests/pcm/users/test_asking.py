import pytest
import torch

from pcm.users.asking import CHECKS, any_pair, certainty, information, next_pair
from pcm.users.belief import Belief


def test_information_is_what_a_loop_over_the_formula_gives():
    generator = torch.Generator().manual_seed(0)
    differences = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    belief = Belief.before(3).after(differences[:4], torch.tensor([1.0, 0.0, 1.0, 0.5]))
    precision = torch.linalg.inv(belief.covariance)
    for difference, told in zip(differences, information(differences, belief), strict=True):
        likely = torch.sigmoid(sum(a * b for a, b in zip(belief.mean, difference, strict=True)))
        slope = likely * (1 - likely)
        expected = slope**2 * (difference @ torch.linalg.solve(precision, difference))
        torch.testing.assert_close(told, expected)


def test_the_next_question_is_about_the_axis_of_which_least_is_known():
    differences = torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.1, 0.1]])
    belief = Belief(torch.zeros(2).double(), torch.diag(torch.tensor([0.1, 1.0])).double())
    assert next_pair(differences, belief, set()) == 1
    assert next_pair(differences, belief, {1}) == 0
    assert next_pair(differences, belief, {0, 1}) == 2
    assert next_pair(differences, belief, {0, 1, 2}) is None


def test_every_fourth_question_is_one_whose_answer_seems_sure():
    generator = torch.Generator().manual_seed(1)
    differences = torch.randn(40, 2, generator=generator, dtype=torch.float64)
    belief = Belief(torch.tensor([1.0, 0.0]).double(), 0.1 * torch.eye(2, dtype=torch.float64))
    sure, told = certainty(differences, belief), information(differences, belief)
    for asked in range(2 * CHECKS):
        passed = range(asked)
        place = next_pair(differences, belief, passed)
        wanted = sure if (asked + 1) % CHECKS == 0 else told
        assert place == asked + int(wanted[asked:].argmax())


def test_certainty_is_the_log_odds_of_the_choice_over_all_tastes():
    belief = Belief(torch.tensor([1.5, -0.5]).double(), torch.tensor([[0.8, 0.2], [0.2, 0.5]]).double())
    tastes = torch.distributions.MultivariateNormal(belief.mean, belief.covariance).sample((200_000,))
    difference = torch.tensor([1.0, 0.7], dtype=torch.float64)
    likely = (tastes @ difference).sigmoid().mean()
    for sign in (1, -1):
        found = certainty(sign * difference[None], belief)
        assert found.item() == pytest.approx(likely.logit().item(), rel=0.05)


def test_a_random_pair_is_never_one_that_was_asked():
    generator = torch.Generator().manual_seed(0)
    assert {any_pair(4, [0, 2, 3], generator) for _ in range(20)} == {1}


def test_a_pair_whose_choice_is_foreseen_tells_little():
    belief = Belief(torch.tensor([5.0, 0.0]).double(), torch.eye(2).double())
    foreseen, open_ = information(torch.tensor([[2.0, 0.0], [0.0, 2.0]]), belief)
    assert foreseen < 0.01 * open_
