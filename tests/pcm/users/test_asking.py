import torch

from pcm.users.asking import CHECKS, any_pair, information, next_pair
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


def test_every_fourth_question_is_about_any_pair():
    differences = torch.cat([torch.tensor([[2.0, 0.0]]), 0.01 * torch.ones(59, 2)])
    found = [next_pair(differences, Belief.before(2), range(1, 1 + asked)) for asked in range(40)]
    checks = found[CHECKS - 1 :: CHECKS]
    assert len(set(checks)) > 5
    assert {place for number, place in enumerate(found, 1) if number % CHECKS} == {0}


def test_a_random_pair_is_never_one_that_was_asked():
    generator = torch.Generator().manual_seed(0)
    assert {any_pair(4, [0, 2, 3], generator) for _ in range(20)} == {1}


def test_a_pair_whose_choice_is_foreseen_tells_little():
    belief = Belief(torch.tensor([5.0, 0.0]).double(), torch.eye(2).double())
    foreseen, open_ = information(torch.tensor([[2.0, 0.0], [0.0, 2.0]]), belief)
    assert foreseen < 0.01 * open_
