"""REBEL and the reward, by hand."""

import torch

from pcm.objective import rebel_loss, relative_rewards, utility


def test_rebel_is_the_hand_computed_number():
    # ((-1 - -2) - (-4 - -3.5) - 2 (0.9 - 0.4))^2 = (1.5 - 1)^2 = 0.25 and ((0) - (1) - 2 (0.5 - 0.5))^2 = 1
    loss = rebel_loss(
        torch.tensor([-1.0, -2.0]),
        torch.tensor([-2.0, -2.0]),
        torch.tensor([-4.0, -1.0]),
        torch.tensor([-3.5, -2.0]),
        torch.tensor([0.9, 0.5]),
        torch.tensor([0.4, 0.5]),
        eta=2.0,
    )
    assert abs(float(loss) - 0.625) < 1e-6


def test_rebel_is_zero_where_the_ratio_explains_the_reward():
    old_1, old_2 = torch.tensor([-3.0, -5.0]), torch.tensor([-4.0, -1.0])
    reward_1, reward_2 = torch.tensor([0.8, 0.1]), torch.tensor([0.3, 0.6])
    loss = rebel_loss(old_1 + 4.0 * reward_1 + 7.0, old_1, old_2 + 4.0 * reward_2 + 7.0, old_2, reward_1, reward_2, 4.0)
    assert float(loss) < 1e-10


def test_rebel_pushes_the_better_response_up_and_the_worse_one_down():
    old = torch.tensor([-3.0])
    first, second = old.clone().requires_grad_(), old.clone().requires_grad_()
    rebel_loss(first, old, second, old, torch.tensor([0.9]), torch.tensor([0.2]), 1.0).backward()
    assert first.grad is not None
    assert second.grad is not None
    assert float(first.grad) < 0 < float(second.grad)


def test_a_response_like_the_reference_is_worth_half_whatever_the_judges_unit():
    raw = torch.tensor([[2.0, -30.0]])
    assert torch.equal(relative_rewards(raw, raw), torch.full((1, 2), 0.5))
    assert float(relative_rewards(torch.tensor(1.0), torch.tensor(-1.0))) > 0.85


def test_utility_is_quality_times_the_weighted_mean_of_what_is_asked():
    relative = torch.tensor([[0.2, 0.9, 0.6], [0.2, 0.9, 0.6]])
    asked = torch.tensor([[0.0, 1.0, 0.5], [1.0, 0.0, 0.0]])
    found = utility(relative, torch.tensor([0.5, 1.0]), asked)
    torch.testing.assert_close(found, torch.tensor([0.5 * (2 / 3 * 0.9 + 1 / 3 * 0.6), 0.2]))
