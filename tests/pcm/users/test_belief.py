import pytest
import torch

from pcm.users.belief import Belief


def choices(count, taste, seed=0):
    """Differences of pairs, and what a user of this taste chooses, with the noise of the model."""
    generator = torch.Generator().manual_seed(seed)
    differences = 2 * torch.randn(count, len(taste), generator=generator, dtype=torch.float64)
    likely = (differences @ torch.tensor(taste, dtype=torch.float64)).sigmoid()
    return differences, torch.bernoulli(likely, generator=generator)


def test_the_belief_is_the_peak_of_the_posterior_found_by_brute_force():
    differences, outcomes = choices(12, [0.8])
    outcomes[3] = 0.5
    grid = torch.linspace(-4, 4, 80_001, dtype=torch.float64)
    margins = differences * grid  # (12, G)
    likely = outcomes[:, None] * margins.sigmoid().log() + (1 - outcomes)[:, None] * (-margins).sigmoid().log()
    posterior = likely.sum(0) - (grid - 0.3) ** 2 / (2 * 0.49)
    before = Belief(torch.tensor([0.3], dtype=torch.float64), torch.tensor([[0.49]], dtype=torch.float64))
    after = before.after(differences, outcomes)
    assert after.mean.item() == pytest.approx(grid[posterior.argmax()].item(), abs=2e-4)
    step = float(grid[1] - grid[0])
    curvature = -torch.diff(posterior, n=2)[posterior.argmax() - 1].item() / step**2
    assert after.covariance.item() == pytest.approx(1 / curvature, rel=1e-3)


def test_many_choices_tell_the_taste_with_the_deviation_that_is_claimed():
    taste = [1.0, -0.5, 0.0]
    away = []
    for seed in range(40):
        belief = Belief.before(3, scale=3.0).after(*choices(200, taste, seed))
        away.append((belief.mean - torch.tensor(taste, dtype=torch.float64)) / belief.deviation)
    spread = torch.stack(away).std()
    assert 0.8 < spread < 1.25


def test_a_choice_told_the_other_way_round_is_the_same_choice():
    differences, outcomes = choices(9, [1.0, -1.0])
    one = Belief.before(2).after(differences, outcomes)
    other = Belief.before(2).after(-differences, 1 - outcomes)
    torch.testing.assert_close(one.mean, other.mean)
    torch.testing.assert_close(one.covariance, other.covariance)


def test_no_choice_changes_nothing_and_choices_make_surer():
    before = Belief.before(2)
    unchanged = before.after(torch.zeros(0, 2), torch.zeros(0))
    torch.testing.assert_close(unchanged.covariance, before.covariance)
    differences, outcomes = choices(6, [1.0, 1.0])
    after = before.after(differences, outcomes)
    assert (after.deviation < 0.8 * before.deviation).all()


def test_what_cannot_be_learned_from_is_refused():
    with pytest.raises(ValueError, match=r"shape \(3, 2\), got \(3, 4\)"):
        Belief.before(2).after(torch.zeros(3, 4), torch.ones(3))
    with pytest.raises(ValueError, match="must be finite"):
        Belief.before(1).after(torch.tensor([[torch.nan]]), torch.ones(1))


def test_the_odds_are_the_evidence_integrated_by_brute_force():
    differences, outcomes = choices(10, [0.8])
    grid = torch.linspace(-8, 8, 160_001, dtype=torch.float64)
    margins = differences * grid
    likely = outcomes[:, None] * margins.sigmoid().log() + (1 - outcomes)[:, None] * (-margins).sigmoid().log()
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(grid)
    evidence = (likely.sum(0) + prior).exp().sum() * (grid[1] - grid[0])
    expected = evidence.log().item() - 10 * torch.tensor(0.5).log().item()
    assert Belief.before(1).odds(differences, outcomes) == pytest.approx(expected, abs=0.1)


def test_choices_by_a_taste_are_told_from_those_of_a_coin():
    before = Belief.before(3)
    assert all(before.odds(*choices(30, [2.0, -1.0, 0.5], seed)) > 1.1 for seed in range(10))
    coins = [torch.randint(0, 2, (30,), generator=torch.Generator().manual_seed(seed)).double() for seed in range(40)]
    odds = [before.odds(choices(30, [0.0] * 3, seed)[0], coin) for seed, coin in enumerate(coins)]
    assert sum(one > 1.1 for one in odds) <= 4
