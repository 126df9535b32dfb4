import pytest
import torch

from pcm.users.belief import ENOUGH, Belief


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


def test_choices_that_agree_are_told_from_those_of_a_coin():
    foreseen = [Belief.before(3).better_than_chance(*choices(30, [2.0, -1.0, 0.5], seed)) for seed in range(10)]
    assert all(foreseen)
    coins = []
    for seed in range(20):
        differences, _ = choices(30, [0.0, 0.0, 0.0], seed)
        coin = torch.randint(0, 2, (30,), generator=torch.Generator().manual_seed(seed)).double()
        coins.append(Belief.before(3).better_than_chance(differences, coin))
    assert sum(coins) <= 5
    assert Belief.before(3).better_than_chance(*choices(ENOUGH - 1, [1.0, 0.0, 0.0])) is None
