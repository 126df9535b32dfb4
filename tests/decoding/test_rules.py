"""Law 6: what every mixing rule keeps."""

import math

import pytest
import torch
from torch import Tensor

from decoding.rules import RULES, Rule, anchored, logit, name_of, probability, rule_named, uniform_log_weights

B, T, K, V = 2, 3, 4, 7
EVERY_RULE = pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())


def random_logprobs(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(*shape, generator=generator, dtype=torch.float64)).log_softmax(dim=-1)


@pytest.fixture
def base() -> Tensor:
    return random_logprobs(B, T, V, seed=1)


@pytest.fixture
def experts() -> Tensor:
    return random_logprobs(B, T, K, V, seed=2)


@pytest.fixture
def log_weights() -> Tensor:
    weights = torch.randn(B, T, K, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    weights[0, :, 1] = -torch.inf
    return weights


@EVERY_RULE
def test_distributions_sum_to_one(rule: Rule, base: Tensor, experts: Tensor, log_weights: Tensor) -> None:
    mixed = rule(base, experts, log_weights)
    assert mixed.shape == (B, T, V)
    torch.testing.assert_close(mixed.exp().sum(-1), torch.ones(B, T, dtype=torch.float64), atol=1e-12, rtol=0)


def score_by_hand(name: str, base: float, experts: list[float], gates: list[float]) -> float:
    """One token's unnormalised probability, as the formula is written."""
    shares = [gate / sum(gates) for gate in gates]
    if name == "probability":
        return sum(share * math.exp(said) for share, said in zip(shares, experts, strict=True))
    if name == "logit":
        return math.exp(sum(share * said for share, said in zip(shares, experts, strict=True)))
    return math.exp(base + sum(gate * (said - base) for gate, said in zip(gates, experts, strict=True)))


@pytest.mark.parametrize("name", RULES)
def test_brute_force_over_every_position_and_token_agrees(
    name: str, base: Tensor, experts: Tensor, log_weights: Tensor
) -> None:
    mixed = rule_named(name)(base, experts, log_weights)
    for b in range(B):
        for t in range(T):
            gates = log_weights[b, t].exp().tolist()
            scores = [score_by_hand(name, float(base[b, t, v]), experts[b, t, :, v].tolist(), gates) for v in range(V)]
            expected = torch.tensor(scores, dtype=torch.float64) / sum(scores)
            torch.testing.assert_close(mixed[b, t].exp(), expected, atol=1e-12, rtol=0)


@EVERY_RULE
def test_experts_that_agree_with_each_other_and_the_base_make_weights_irrelevant(
    rule: Rule, base: Tensor, log_weights: Tensor
) -> None:
    agreeing = base.unsqueeze(-2).expand(B, T, K, V)
    torch.testing.assert_close(rule(base, agreeing, log_weights), base, atol=1e-12, rtol=0)


@pytest.mark.parametrize("rule", [probability, logit])
def test_experts_that_agree_decide_alone_under_rules_without_an_anchor(
    rule: Rule, base: Tensor, experts: Tensor, log_weights: Tensor
) -> None:
    agreeing = experts[..., :1, :].expand(B, T, K, V)
    torch.testing.assert_close(rule(base, agreeing, log_weights), experts[..., 0, :], atol=1e-12, rtol=0)


@EVERY_RULE
def test_one_hot_weights_are_that_expert(rule: Rule, base: Tensor, experts: Tensor) -> None:
    one_hot = torch.full((B, T, K), -torch.inf, dtype=torch.float64)
    one_hot[..., 2] = 0
    torch.testing.assert_close(rule(base, experts, one_hot), experts[..., 2, :], atol=1e-12, rtol=0)


@EVERY_RULE
def test_permuting_experts_with_their_weights_changes_nothing(
    rule: Rule, base: Tensor, experts: Tensor, log_weights: Tensor
) -> None:
    order = torch.tensor([2, 0, 3, 1])
    permuted = rule(base, experts[..., order, :], log_weights[..., order])
    torch.testing.assert_close(permuted, rule(base, experts, log_weights), atol=1e-12, rtol=0)


def test_anchored_without_any_weight_is_the_base(base: Tensor, experts: Tensor) -> None:
    nobody = torch.full((B, T, K), -torch.inf, dtype=torch.float64)
    torch.testing.assert_close(anchored(base, experts, nobody), base, atol=1e-12, rtol=0)


def test_only_anchored_minds_how_large_the_weights_are(base: Tensor, experts: Tensor, log_weights: Tensor) -> None:
    for rule in (probability, logit):
        torch.testing.assert_close(rule(base, experts, log_weights + 1), rule(base, experts, log_weights))
    assert not torch.allclose(anchored(base, experts, log_weights + 1), anchored(base, experts, log_weights))


def test_logit_is_anchored_with_weights_that_sum_to_one(base: Tensor, experts: Tensor, log_weights: Tensor) -> None:
    torch.testing.assert_close(
        logit(base, experts, log_weights), anchored(base, experts, log_weights.log_softmax(dim=-1)), atol=1e-12, rtol=0
    )


@EVERY_RULE
@pytest.mark.parametrize("scale", [1.0, 1e3, 1e6], ids=["ordinary", "saturated", "very saturated"])
def test_gradients_are_finite_at_saturation_and_where_an_expert_is_not_asked(rule: Rule, scale: float) -> None:
    generator = torch.Generator().manual_seed(4)
    base_logits = (scale * torch.randn(B, V, generator=generator)).requires_grad_()
    expert_logits = (scale * torch.randn(B, K, V, generator=generator)).requires_grad_()
    weights = torch.tensor([[0.0, -200.0, -torch.inf, 1.0], [-torch.inf, -torch.inf, 2.0, -torch.inf]]).requires_grad_()
    mixed = rule(base_logits.log_softmax(-1), expert_logits.log_softmax(-1), weights)
    mixed.gather(-1, mixed.argmin(-1, keepdim=True)).sum().backward()
    for tensor in (expert_logits, weights):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()
    assert weights.grad is not None
    assert (weights.grad[weights == -torch.inf] == 0).all()


@EVERY_RULE
def test_tokens_that_nobody_can_say_stay_impossible_without_a_nan(rule: Rule, base: Tensor, experts: Tensor) -> None:
    base[..., 0], experts[..., 0] = -torch.inf, -torch.inf
    weights = torch.zeros(B, T, K, dtype=torch.float64).requires_grad_()
    mixed = rule(base.log_softmax(-1), experts.log_softmax(-1), weights)
    mixed[..., 1].sum().backward()
    assert (mixed[..., 0].exp() == 0).all()
    assert weights.grad is not None
    assert weights.grad.isfinite().all()


def test_the_gradient_of_every_rule_is_right(base: Tensor, experts: Tensor) -> None:
    weights = torch.randn(B, T, K, dtype=torch.float64, generator=torch.Generator().manual_seed(5)).requires_grad_()
    for rule in RULES.values():
        assert torch.autograd.gradcheck(lambda w, mixed=rule: mixed(base, experts, w), (weights,))


def test_uniform_weights_are_as_large_as_asked_over_the_asked_experts_only() -> None:
    asked = torch.tensor([[1.0, 0.0, 0.2, -0.5], [0.5, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    expected = torch.tensor([[0.5, 0.0, 0.1, 0.0], [0.125, 0.25, 0.25, 0.25], [0.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(uniform_log_weights(asked).exp(), expected)
    assert uniform_log_weights(asked > 0).is_floating_point()


def test_a_function_is_its_own_rule_and_has_a_name_only_if_it_is_a_known_one() -> None:
    def own(base_logprobs: Tensor, expert_logprobs: Tensor, log_weights: Tensor) -> Tensor:
        return base_logprobs

    assert rule_named(own) is own
    assert (name_of(own), name_of(logit), name_of("anchored")) == (None, "logit", "anchored")


def test_an_unknown_rule_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="one of probability, logit, anchored, got 'average'"):
        rule_named("average")


@pytest.mark.parametrize("rule", [probability, logit])
def test_a_position_without_any_expert_is_refused(rule: Rule, base: Tensor, experts: Tensor) -> None:
    log_weights = torch.zeros(B, T, K, dtype=torch.float64)
    log_weights[1, 2] = -torch.inf
    with pytest.raises(ValueError, match="finite log-weight at every position"):
        rule(base, experts, log_weights)


@EVERY_RULE
def test_weights_for_another_number_of_experts_are_refused(rule: Rule, base: Tensor, experts: Tensor) -> None:
    with pytest.raises(ValueError, match="same K"):
        rule(base, experts, torch.zeros(B, T, 1))
