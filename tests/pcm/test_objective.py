"""The objectives, by hand."""

import math

import pytest
import torch
from torch import Tensor

from pcm.objective import OBJECTIVES, Comparison, dpo, objective_named, ppo, rebel


def single(new: Tensor, old: Tensor, reward: Tensor) -> Comparison:
    """Pairs of responses of one token each; new, old and reward are (2, P), the first responses before the second."""
    numbers = torch.arange(new.numel())
    return Comparison(new.flatten(), old.flatten(), numbers, reward.flatten(), *numbers.view(2, -1))


def test_rebel_is_the_hand_computed_number():
    # ((-1 - -2) - (-4 - -3.5) - 2 (0.9 - 0.4))^2 = (1.5 - 1)^2 = 0.25 and ((0) - (1) - 2 (0.5 - 0.5))^2 = 1
    new, old = torch.tensor([[-1.0, -2.0], [-4.0, -1.0]]), torch.tensor([[-2.0, -2.0], [-3.5, -2.0]])
    loss = rebel(single(new, old, torch.tensor([[0.9, 0.5], [0.4, 0.5]])), eta=2.0)
    assert abs(float(loss) - 0.625) < 1e-6


def test_rebel_is_zero_where_the_ratio_explains_the_reward():
    old, reward = torch.tensor([[-3.0, -5.0], [-4.0, -1.0]]), torch.tensor([[0.8, 0.1], [0.3, 0.6]])
    assert float(rebel(single(old + 4.0 * reward + 7.0, old, reward), 4.0)) < 1e-10


def test_rebel_pushes_the_better_response_up_and_the_worse_one_down():
    old = torch.tensor([[-3.0], [-3.0]])
    new = old.clone().requires_grad_()
    rebel(single(new, old, torch.tensor([[0.9], [0.2]])), 1.0).backward()
    assert new.grad is not None
    assert float(new.grad[0]) < 0 < float(new.grad[1])


def comparison(tokens: int = 40, seed: int = 0) -> Comparison:
    """Three pairs whose tokens lie mixed up, and one response more that no pair names."""
    generator = torch.Generator().manual_seed(seed)
    new, old = (torch.randn(tokens, generator=generator, dtype=torch.double) * 0.3 - 2.0 for _ in range(2))
    response = torch.arange(tokens) % 6
    reward = torch.rand(6, generator=generator, dtype=torch.double)
    return Comparison(new, old, response, reward, torch.tensor([0, 4, 1]), torch.tensor([3, 2, 5]))


def naive(pairs: Comparison, objective: str, eta: float) -> float:
    """Each equation as it is printed, one number at a time."""
    total = 0.0
    for one, other in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):
        new, old = pairs.token_new.tolist(), pairs.token_old.tolist()
        of = {r: [t for t, owner in enumerate(pairs.response.tolist()) if owner == r] for r in (one, other)}
        gap = float(pairs.reward[one] - pairs.reward[other])
        ratio = {r: sum(new[t] - old[t] for t in of[r]) for r in (one, other)}
        if objective == "rebel":
            total += (ratio[one] - ratio[other] - eta * gap) ** 2
        elif objective == "dpo":
            winner, loser = (one, other) if gap > 0 else (other, one)
            total += math.log(1 + math.exp(-(ratio[winner] - ratio[loser]) / eta))
        else:
            for r, advantage in ((one, eta * gap), (other, -eta * gap)):
                for t in of[r]:
                    rho = math.exp(new[t] - old[t])
                    total -= min(rho * advantage, min(max(rho, 0.8), 1.2) * advantage)
    return total / len(pairs.first)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_an_objective_equals_its_naive_loop(objective):
    pairs = comparison()
    assert float(objective_named(objective)(pairs, 2.5)) == pytest.approx(naive(pairs, objective, 2.5), abs=1e-9)


def test_ppo_is_the_hand_computed_number_and_stops_where_it_clips():
    # A = 2 (1 - 0.5) = 1 for the first response, -1 for the second; ratios 1.5 (clipped to 1.2), 1.1 and 0.5, 1.0
    new = torch.tensor([1.5, 1.1, 0.5, 1.0]).log().requires_grad_()
    reward = torch.tensor([1.0, 0.5])
    response, first = torch.tensor([0, 0, 1, 1]), torch.tensor([0])
    loss = ppo(Comparison(new, torch.zeros(4), response, reward, first, first + 1), 2.0)
    assert float(loss.detach()) == pytest.approx(-(1.2 + 1.1) + (0.8 + 1.0), abs=1e-6)
    loss.backward()
    assert new.grad is not None
    torch.testing.assert_close(new.grad, torch.tensor([0.0, -1.1, 0.0, 1.0]))


def test_dpo_is_the_hand_computed_number_and_a_tie_teaches_nothing():
    new = torch.tensor([-1.0, -2.0, -3.0, -1.5]).requires_grad_()
    old = torch.tensor([-2.0, -2.0, -3.0, -3.0])
    reward = torch.tensor([0.2, 0.9, 0.4, 0.4])
    pairs = Comparison(new, old, torch.arange(4), reward, torch.tensor([0, 2]), torch.tensor([1, 3]))
    # the second response wins the first pair: -ln σ((0 - 1) / 4) = 0.8260; a tie is ln 2
    loss = dpo(pairs, 4.0)
    assert float(loss.detach()) == pytest.approx((0.826 + math.log(2)) / 2, abs=1e-4)
    loss.backward()
    assert new.grad is not None
    assert new.grad[2:].tolist() == [0.0, 0.0]
    assert float(new.grad[1]) < 0 < float(new.grad[0])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_raises_the_reward_of_a_tiny_problem(objective):
    """Four tokens of five words each, and a reward for saying the first word."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.zeros(4, 5, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(40):
        with torch.no_grad():
            tokens = torch.multinomial(logits.softmax(-1), 32, replacement=True, generator=generator).T  # (32, 4)
            old = logits.log_softmax(-1)[torch.arange(4), tokens]
        reward, response = (tokens == 0).float().mean(-1), torch.arange(32).repeat_interleave(4)
        for _ in range(2):
            new = logits.log_softmax(-1)[torch.arange(4), tokens]
            pairs = Comparison(new.flatten(), old.flatten(), response, reward, torch.arange(16), torch.arange(16, 32))
            loss = objective_named(objective)(pairs, 4.0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert float(logits.softmax(-1)[:, 0].mean()) > 0.6  # 0.2 at the start


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_objective_of_all_pairs_is_the_mean_over_the_pairs(objective):
    pairs = comparison()
    parts = [pairs._replace(first=pairs.first[i : i + 1], second=pairs.second[i : i + 1]) for i in range(3)]
    mean = sum(float(objective_named(objective)(part, 2.0)) for part in parts) / 3
    assert float(objective_named(objective)(pairs, 2.0)) == pytest.approx(mean, abs=1e-9)


def test_an_objective_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="an objective must be one of rebel, ppo, dpo, got 'grpo'"):
        objective_named("grpo")
