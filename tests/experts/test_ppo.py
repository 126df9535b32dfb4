import itertools

import pytest
import torch

from experts.ppo import (
    Trajectories,
    adaptive_kl,
    centred,
    clipped,
    explained_variance,
    gae,
    policy_loss,
    shaped_rewards,
    step_kl,
    sum_per_expert,
    value_loss,
    whiten,
)
from experts.references import expected_chances


def naive_gae(rewards, values, lengths, discount, trace):
    advantages = torch.zeros_like(rewards)
    for row, length in enumerate(lengths):
        following, advantage = 0.0, 0.0
        for step in reversed(range(length)):
            delta = rewards[row, step] + discount * following - values[row, step]
            advantage = delta + discount * trace * advantage
            advantages[row, step], following = advantage, values[row, step]
    return advantages


def prefix_mask(lengths, width):
    return (torch.arange(width)[None] < torch.tensor(lengths)[:, None]).double()


def test_advantages_are_the_hand_computed_ones():
    rewards, values = torch.tensor([[0.0, 1.0, 9.0]]), torch.tensor([[0.5, 0.25, 7.0]])
    advantages, returns = gae(rewards, values, torch.tensor([[1.0, 1.0, 0.0]]), discount=0.9, trace=0.5)
    # delta_1 = 1 - .25 = .75; delta_0 = .9 * .25 - .5 = -.275; A_0 = -.275 + .45 * .75
    torch.testing.assert_close(advantages, torch.tensor([[0.0625, 0.75, 0.0]]))
    torch.testing.assert_close(returns, torch.tensor([[0.5625, 1.0, 0.0]]))


@pytest.mark.parametrize(("discount", "trace"), [(1.0, 0.95), (0.9, 0.0), (0.97, 1.0)])
def test_advantages_equal_the_naive_loop(discount, trace):
    torch.manual_seed(0)
    lengths = [1, 7, 4, 6]
    rewards, values = torch.randn(4, 7).double(), torch.randn(4, 7).double()
    advantages, returns = gae(rewards, values, prefix_mask(lengths, 7), discount, trace)
    expected = naive_gae(rewards, values, lengths, discount, trace)
    torch.testing.assert_close(advantages, expected)
    torch.testing.assert_close(returns, (expected + values) * prefix_mask(lengths, 7))


def test_a_perfect_value_leaves_no_advantage():
    rewards, values = torch.tensor([[0.0, 0.0, 2.0]]), torch.tensor([[2.0, 2.0, 2.0]])
    advantages, _ = gae(rewards, values, torch.ones(1, 3))
    torch.testing.assert_close(advantages, torch.zeros(1, 3))


def test_whitening_gives_each_expert_mean_zero_and_variance_one_over_its_tokens():
    torch.manual_seed(0)
    experts, mask = torch.tensor([0, 0, 2]), prefix_mask([3, 5, 4], 5)
    values = torch.randn(3, 5).double() * 3 + torch.tensor([[1.0], [1.0], [50.0]])
    white = whiten(values, mask, experts, 3)
    for rows in ([0, 1], [2]):
        tokens = white[rows][mask[rows].bool()]
        torch.testing.assert_close(tokens.mean(), torch.tensor(0.0).double(), atol=1e-9, rtol=0)
        torch.testing.assert_close(tokens.var(correction=0), torch.tensor(1.0).double(), atol=1e-6, rtol=0)
    assert not white[mask == 0].any()


def test_whitening_of_one_expert_does_not_see_the_others():
    torch.manual_seed(0)
    experts, mask, values = torch.tensor([0, 0, 1]), torch.ones(3, 4), torch.randn(3, 4)
    changed = values.clone()
    changed[2] *= 100
    assert torch.equal(whiten(values, mask, experts, 2)[:2], whiten(changed, mask, experts, 2)[:2])


def test_the_policy_loss_is_the_hand_computed_one():
    old = torch.zeros(4)
    new = torch.tensor([1.5, 1.5, 0.5, 0.5]).log()
    advantages = torch.tensor([2.0, -2.0, 2.0, -2.0])
    expected = torch.tensor([-1.2 * 2, 1.5 * 2, -0.5 * 2, 0.8 * 2])
    torch.testing.assert_close(policy_loss(new, old, advantages, clip=0.2), expected)


def test_the_policy_loss_pushes_only_where_clipping_allows():
    new = torch.tensor([1.5, 1.5, 0.5, 0.5, 1.1]).log().requires_grad_()
    policy_loss(new, torch.zeros(5), torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0]), clip=0.2).sum().backward()
    torch.testing.assert_close(new.grad, torch.tensor([0.0, 1.5, -0.5, 0.0, -1.1]))


def test_the_value_loss_takes_the_worse_of_plain_and_clipped():
    old, returns = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([1.0, 1.0, 1.0])
    values = torch.tensor([0.8, 0.1, 1.0])
    expected = torch.tensor([(0.2 - 1) ** 2 / 2, (0.1 - 1) ** 2 / 2, 0.0])
    torch.testing.assert_close(value_loss(values, old, returns, clip=0.2), expected)


def test_the_optimum_has_no_loss():
    logprobs, returns = torch.randn(2, 3), torch.randn(2, 3)
    assert not policy_loss(logprobs, logprobs, torch.zeros(2, 3)).any()
    assert not value_loss(returns, returns, returns).any()
    assert not step_kl(logprobs, logprobs).any()


def test_the_step_kl_estimates_the_divergence_of_the_old_policy_from_the_new():
    old, new = torch.tensor([0.7, 0.2, 0.1]).log(), torch.tensor([0.4, 0.4, 0.2]).log()
    estimates = step_kl(new, old)
    assert (estimates > 0).all()
    torch.testing.assert_close((old.exp() * estimates).sum(), (old.exp() * (old - new)).sum())


def test_the_score_falls_on_the_last_token_and_the_penalty_on_every_token():
    logprobs, base = (
        torch.tensor([[-1.0, -2.0, -3.0], [-1.0, 0.0, 0.0]]),
        torch.tensor([[-1.5, -1.0, -3.0], [-2.0, 5.0, 5.0]]),
    )
    mask, coefficients = prefix_mask([3, 1], 3).float(), torch.tensor([0.1, 0.5])
    rewards = shaped_rewards(torch.tensor([2.0, 3.0]), logprobs, base, mask, coefficients)
    torch.testing.assert_close(rewards, torch.tensor([[-0.05, 0.1, 2.0], [3.0 - 0.5, 0.0, 0.0]]))


def test_the_kl_controller_moves_each_coefficient_towards_the_target():
    coefficients = adaptive_kl(torch.tensor([0.1, 0.1, 0.1, 0.1]), torch.tensor([4.0, 4.4, 40.0, 0.0]), target=4.0)
    torch.testing.assert_close(coefficients, torch.tensor([0.1, 0.1 * 1.01, 0.1 * 1.02, 0.1 * 0.98]))


def test_sums_per_expert_count_every_row_once():
    sums = sum_per_expert(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 2]), 3)
    torch.testing.assert_close(sums, torch.tensor([3.0, 0.0, 4.0]))


def test_chosen_rows_are_cut_to_their_longest_response():
    wide, mask = torch.arange(12).view(3, 4), prefix_mask([2, 4, 1], 4)
    trajectories = Trajectories(wide, wide, wide, mask, torch.tensor([0, 1, 1]), wide, wide, wide, wide)
    chosen = trajectories.rows(torch.tensor([0, 2]))
    assert chosen.tokens.tolist() == [[0, 1], [8, 9]]
    assert chosen.prompt_ids.tolist() == [[0, 1, 2, 3], [8, 9, 10, 11]]
    assert chosen.experts.tolist() == [0, 1]


def test_expected_chances_are_the_naive_mean_over_the_experts_other_answers():
    generator = torch.Generator().manual_seed(5)
    scores, beaten = torch.randn(2, 8, 3, generator=generator, dtype=torch.float64)  # two experts of four answers
    scores[1, 2] = scores[5, 0] = torch.nan  # not judged
    scores[4:, 1] = torch.nan  # of the second expert nothing
    expected = expected_chances(scores, beaten, 2, temperature=1.7)
    for row, reward in itertools.product(range(8), range(3)):
        others = [other for other in range(row // 4 * 4, row // 4 * 4 + 4) if other != row]
        judged = [scores[other, reward] for other in others if not scores[other, reward].isnan()]
        chances = [torch.sigmoid((score - beaten[row, reward]) / 1.7) for score in judged]
        naive = torch.stack(chances).mean() if chances else torch.tensor(0.5, dtype=torch.float64)
        torch.testing.assert_close(expected[row, reward], naive)


def test_centred_marks_of_every_expert_have_mean_zero_and_keep_their_differences():
    """Positive marks beside value heads at zero would reward ending early."""
    marks, experts = torch.tensor([1.0, 3.0, 10.0, 20.0, 30.0]), torch.tensor([0, 0, 1, 1, 1])
    assert centred(marks, experts, 2).tolist() == [-1.0, 1.0, -10.0, 0.0, 10.0]


def test_a_token_counts_as_clipped_where_its_ratio_leaves_the_band():
    new = torch.tensor([1.3, 1.1, 0.9, 0.7, 1.0]).log()
    assert clipped(new, torch.zeros(5), clip=0.2).tolist() == [1, 0, 0, 1, 0]


def test_the_explained_variance_is_that_of_each_experts_tokens():
    returns = torch.tensor([[1.0, 3.0, 99.0], [5.0, 7.0, 0.0], [1.0, 3.0, 5.0], [2.0, 2.0, 2.0]])
    values = torch.tensor([[1.0, 3.0, -9.0], [5.0, 7.0, 0.0], [2.0, 3.0, 4.0], [1.0, 2.0, 3.0]])
    mask, experts = prefix_mask([2, 2, 3, 3], 3), torch.tensor([0, 0, 1, 2])
    explained = explained_variance(values, returns, mask, experts, 4)
    # errors -1, 0, 1 of returns 1, 3, 5: 1 - (2/3) / (8/3); constant returns cannot be explained
    torch.testing.assert_close(explained, torch.tensor([1.0, 0.75, 0.0, 0.0]))
