"""What an expert is about to do, in four numbers."""

import torch

from pcm.behaviour import FEATURES, behaviour


def logprobs(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2.0 * torch.randn(*shape, generator=generator, dtype=torch.double)).log_softmax(-1)


def kl(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    return (p.exp() * (p - q)).sum(-1)


def test_features_are_the_hand_computed_nats():
    base = torch.tensor([0.5, 0.5]).log()
    experts = torch.tensor([[0.9, 0.1], [0.2, 0.8]]).log()
    found = behaviour(base, experts, torch.tensor([1.0, 1.0])).expm1()  # (2, F)
    # H(.9, .1) = .3251; to (.5, .5): ln 2 - H = .3681; from it: .5 ln(.25 / .09) = .5108; the mean is (.55, .45)
    expected = torch.tensor([0.3251, 0.3681, 0.5108, 0.9 * 0.4925 - 0.1 * 1.5041])
    assert found.shape == (2, len(FEATURES))
    torch.testing.assert_close(found[0], expected, atol=1e-4, rtol=0)


def test_features_equal_the_definition_in_a_loop():
    base, experts = logprobs(3, 2, 7), logprobs(3, 2, 4, 7, seed=1)
    asked = torch.tensor([1.0, 0.0, 0.3, 0.0], dtype=torch.double).expand(3, 2, 4)
    found = behaviour(base, experts, asked).expm1()
    mean = ((experts[..., 0, :].exp() + experts[..., 2, :].exp()) / 2).log()
    for index in range(4):
        expert = experts[..., index, :]
        naive = [-(expert.exp() * expert).sum(-1), kl(expert, base), kl(base, expert), kl(expert, mean)]
        torch.testing.assert_close(found[..., index, :], torch.stack(naive, -1), atol=1e-9, rtol=0)


def test_experts_that_agree_with_the_base_diverge_from_nothing():
    base = logprobs(5, 9)
    found = behaviour(base, base.unsqueeze(-2).expand(5, 3, 9), torch.ones(5, 3))
    assert found[..., 1:].abs().max() < 1e-12
    assert (found[..., 0] > 0.1).all()


def test_nothing_asked_gives_finite_features():
    assert behaviour(logprobs(2, 6), logprobs(2, 3, 6), torch.zeros(2, 3)).isfinite().all()
