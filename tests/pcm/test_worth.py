"""What a response is worth, by hand."""

import pytest
import torch

from pcm.worth import WORTHS, raw_worth, relative_rewards, relative_worth, utility, worth_named


def test_a_response_like_the_reference_is_worth_half_whatever_the_judges_unit():
    raw = torch.tensor([[2.0, -30.0]])
    assert torch.equal(relative_rewards(raw, raw), torch.full((1, 2), 0.5))
    assert float(relative_rewards(torch.tensor(1.0), torch.tensor(-1.0))) > 0.85


def test_utility_is_quality_times_the_weighted_sum_of_what_is_asked():
    relative = torch.tensor([[0.2, 0.9, 0.6]]).expand(3, -1)
    asked = torch.tensor([[0.0, 1.0, 0.5], [1.0, 0.0, 0.0], [0.25, 0.0, 0.0]])
    found = utility(relative, torch.tensor([0.5, 1.0, 1.0]), asked)
    torch.testing.assert_close(found, torch.tensor([0.5 * (0.9 + 0.5 * 0.6), 0.2, 0.05]))


def test_the_worth_by_chances_is_the_hand_computed_number():
    scores, beaten = torch.tensor([[3.0, -8.0, 1.0]]), torch.tensor([[1.0, 5.0, -1.0]])
    # τ = 2: σ(1) = 0.7311 for the first dimension and for quality; the second is not asked for
    found = relative_worth(scores, beaten, torch.tensor([[0.5, 0.0]]), 2.0)
    torch.testing.assert_close(found, torch.tensor([0.7311 * 0.5 * 0.7311]), atol=1e-4, rtol=0)


def test_the_raw_worth_is_the_sum_of_the_scores_whatever_is_to_be_beaten():
    scores = torch.tensor([[3.0, -8.0, 1.0], [2.0, 6.0, -3.0]])
    asked = torch.tensor([[0.5, 0.0], [1.0, 0.25]])
    expected = torch.tensor([(1.0 + 0.5 * 3.0) / 2, (-3.0 + 2.0 + 0.25 * 6.0) / 2])
    for beaten in (torch.zeros(2, 3), torch.full((2, 3), 9.0)):
        assert torch.equal(raw_worth(scores, beaten, asked, 2.0), expected)


def test_a_quality_that_nobody_judges_is_one():
    scores, beaten, asked = torch.tensor([[3.0, -8.0]]), torch.tensor([[1.0, 5.0]]), torch.tensor([[0.5, 0.0]])
    torch.testing.assert_close(
        relative_worth(scores, beaten, asked, 2.0), torch.tensor([0.5 * 0.7311]), atol=1e-4, rtol=0
    )
    assert raw_worth(scores, beaten, asked, 2.0).tolist() == [0.75]


def test_a_raw_worth_has_no_bound_where_chances_have_one():
    scores, asked = torch.tensor([[1.0, 1.0], [100.0, 100.0]]), torch.ones(2, 1)
    assert raw_worth(scores, torch.zeros(2, 2), asked, 1.0).tolist() == [2.0, 200.0]
    assert float(relative_worth(scores, torch.zeros(2, 2), asked, 1.0).max()) <= 1.0


def test_worths_are_called_by_name():
    assert worth_named("relative") is relative_worth
    assert worth_named("raw") is raw_worth
    with pytest.raises(ValueError, match="a worth must be one of relative, raw, got 'golden'"):
        worth_named("golden")
    assert set(WORTHS) == {"relative", "raw"}
