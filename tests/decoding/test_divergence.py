"""The cap holds whatever weights, experts and preferences try, and is not there where nobody set one."""

import math

import pytest
import scipy.optimize
import scipy.stats
import torch
from torch import Tensor

from decoding.divergence import capped, divergence
from decoding.rules import RULES

CAPS = (0.0, 1e-3, 0.1, 2.0)


def random_logprobs(*shape: int, scale: float = 3.0, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, generator=generator, dtype=torch.double) * scale).log_softmax(-1)


def exact(logprobs: Tensor, base: Tensor) -> Tensor:
    """KL by scipy, which has its own convention for zeros."""
    return torch.from_numpy(scipy.stats.entropy(logprobs.double().exp().numpy(), base.double().exp().numpy(), axis=-1))


def test_divergence_is_the_relative_entropy() -> None:
    mixture, base = random_logprobs(5, 17), random_logprobs(5, 17, seed=1)
    torch.testing.assert_close(divergence(mixture, base), exact(mixture, base), atol=1e-12, rtol=0)
    certain = torch.tensor([0.0, -torch.inf])
    assert float(divergence(certain, torch.tensor([0.5, 0.5]).log())) == pytest.approx(0.6931, abs=1e-4)


@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("weight", [1.0, 50.0, 1e4])
def test_no_weights_and_no_experts_lift_the_cap(rule: str, cap: float, weight: float) -> None:
    """Experts that are sure of what the base finds all but impossible, believed as much as a float can say."""
    base = random_logprobs(6, 31)
    experts = random_logprobs(6, 4, 31, scale=30.0, seed=1)
    log_weights = torch.log(torch.rand(6, 4, generator=torch.Generator().manual_seed(2)).double() * weight)
    log_weights[0, 1:] = -torch.inf
    mixture = RULES[rule](base, experts, log_weights)
    kept = capped(mixture, base, cap)
    assert float(exact(mixture, base).min()) > 2.0
    assert float(exact(kept, base).max()) <= cap + 1e-12
    torch.testing.assert_close(kept.logsumexp(-1), torch.zeros(6).double(), atol=1e-9, rtol=0)


@pytest.mark.parametrize("cap", CAPS[1:])
def test_the_step_is_no_shorter_than_it_must_be(cap: float) -> None:
    mixture, base = random_logprobs(6, 31), random_logprobs(6, 31, seed=1)
    beyond = exact(mixture, base) > cap
    assert exact(capped(mixture, base, cap), base)[beyond].tolist() == pytest.approx(
        [cap] * int(beyond.sum()), abs=1e-9
    )
    assert beyond.any()


def test_what_keeps_the_cap_by_itself_comes_back_bit_for_bit() -> None:
    mixture, base = random_logprobs(6, 31).float(), random_logprobs(6, 31, seed=1).float()
    nats = exact(mixture, base)
    cap = float(nats.median()) + 1e-9
    kept = capped(mixture, base, cap)
    assert torch.equal(kept[nats <= cap], mixture[nats <= cap])
    assert not torch.equal(kept[nats > cap], mixture[nats > cap])
    assert capped(mixture, base, None) is mixture
    assert torch.equal(capped(mixture, base, 0.0), base)


def test_under_the_anchored_rule_the_cap_makes_all_weights_smaller_alike() -> None:
    base, experts = random_logprobs(1, 31), random_logprobs(1, 3, 31, seed=1)
    log_weights = torch.tensor([[0.5, 1.0, 2.0]]).double().log()
    kept = capped(RULES["anchored"](base, experts, log_weights), base, 0.05)

    def beyond(scale: float) -> float:
        return float(exact(RULES["anchored"](base, experts, log_weights + math.log(scale)), base)) - 0.05

    largest = scipy.optimize.brentq(beyond, 1e-9, 1.0, xtol=1e-14)
    expected = RULES["anchored"](base, experts, log_weights + math.log(largest))
    torch.testing.assert_close(kept, expected, atol=1e-9, rtol=0)


def test_a_token_the_base_never_says_is_never_said_under_a_cap() -> None:
    base = torch.tensor([[0.5, 0.5, 0.0]]).log()
    mixture = torch.tensor([[0.1, 0.1, 0.8]]).log()
    kept = capped(mixture, base, 0.3).exp()
    assert float(kept[0, 2]) < 1e-3
    assert float(divergence(kept.log(), base)) == pytest.approx(0.3, abs=1e-4)


def test_the_cap_holds_in_single_precision_and_over_any_leading_shape() -> None:
    base, mixture = random_logprobs(2, 3, 400, seed=1).float(), random_logprobs(2, 3, 400).float()
    kept = capped(mixture, base, 0.2)
    assert kept.dtype == torch.float32
    assert float(exact(kept, base).max()) <= 0.2 + 1e-5
    assert torch.equal(kept[1, 2], capped(mixture[1, 2], base[1, 2], 0.2))


def test_what_is_no_number_is_not_hidden() -> None:
    base = random_logprobs(2, 5)
    mixture = random_logprobs(2, 5, scale=9.0, seed=1)
    mixture[0, 0] = torch.nan
    kept = capped(mixture, base, 0.01)
    assert kept[0].isnan().any()
    assert not kept[1].isnan().any()


@pytest.mark.parametrize("cap", [-1.0, float("nan"), float("inf"), "much"])
def test_a_cap_that_bounds_nothing_is_refused(cap: float) -> None:
    base = random_logprobs(2, 5)
    with pytest.raises(ValueError, match="a cap must be a finite number of nats of at least 0"):
        capped(base, base, cap)
