"""Networks that read a user's choices: variational ones, and those trained on users who never were."""

import math
import warnings

import pytest
import torch

from pcm.users.belief import Belief
from pcm.users.in_context import in_context, simulated
from pcm.users.networks import Chosen, Everybody, shown
from pcm.users.variational import Variational, divergence, variational

STEPS = 600


def pairs(count, seed=0):
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def users(tastes, seed=0):
    """Users of these tastes, each with 40 choices."""
    told = simulated(torch.tensor(tastes), pairs(200, seed), torch.Generator().manual_seed(seed))
    return [Chosen(*part) for part in zip(told.differences, told.outcomes, strict=True)]


@pytest.fixture(scope="module")
def two_kinds():
    """Networks that know of two kinds of users: those who want the first axis, and those who want its opposite."""
    log = users([(3.0, 0.0, 1.0), (-3.0, 0.0, 1.0)] * 12)
    return {
        "variational": variational(log, steps=STEPS),
        "in-context": in_context(
            pairs(200),
            Belief(torch.tensor([0, 0, 1.0]).double(), torch.diag(torch.tensor([9, 0.1, 0.1])).double()),
            steps=STEPS,
        ),
    }


@pytest.mark.parametrize("way", ["variational", "in-context"])
@pytest.mark.parametrize("wants", [3.0, -3.0])
def test_a_new_user_is_known_after_some_choices(two_kinds, way, wants):
    (told,) = users([(wants, 0.0, 1.0)], seed=5)
    belief = two_kinds[way].after(told.differences[:10], told.outcomes[:10])
    assert math.copysign(1, wants) * float(belief.mean[0]) > 1.2
    assert abs(float(belief.mean[1])) < 1
    assert abs(float(belief.mean[0])) > float(belief.deviation[0])


@pytest.mark.parametrize("way", ["variational", "in-context"])
def test_a_stranger_is_taken_for_neither_kind(two_kinds, way):
    belief = two_kinds[way].after(torch.zeros(0, 3), torch.zeros(0))
    assert abs(float(belief.mean[0])) < 0.7
    assert 0.3 < float(belief.mean[2]) < 1.5  # what they have in common
    assert torch.isfinite(belief.covariance.logdet())


def test_more_choices_make_surer(two_kinds):
    (told,) = users([(3.0, 0.0, 1.0)], seed=6)
    unsure, sure = (two_kinds["in-context"].after(*(part[:count] for part in told)) for count in (0, 20))
    assert float(unsure.deviation[0]) > 1.2 * float(sure.deviation[0])


def test_the_same_seed_learns_the_same():
    log = users([(1.0, 0.0, 0.0), (-1.0, 0.0, 0.0)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        first, second, other = (variational(log, steps=5, seed=seed) for seed in (0, 0, 1))
    states = [
        torch.cat([value.flatten() for value in network.state_dict().values()]) for network in (first, second, other)
    ]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_divergence_is_that_of_two_normal_distributions():
    given = divergence(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, math.log(4.0)], [0.0, 0.0]]))
    torch.testing.assert_close(given, torch.tensor([0.5 + 0.5 * (4 - 1 - math.log(4.0)), 0.0]))


def test_users_who_are_all_alike_are_told_to_have_collapsed():
    with pytest.warns(UserWarning, match="got a posterior that has collapsed"):
        variational(users([(0.0, 0.0, 0.0)] * 8), steps=60)


def test_the_divergence_is_paid_for_in_the_bound():
    network, generator = Variational(2), torch.Generator()
    batch = shown(Everybody.of([Chosen(torch.ones(3, 2), torch.ones(3))]), generator.manual_seed(0))
    free, full = (network.bound(batch, weight, generator.manual_seed(1)) for weight in (0.0, 1.0))
    paid = divergence(*network.posterior(batch.known, batch.mask)).mean()
    torch.testing.assert_close(full - free, paid)
