"""Law 5: untrained means uniform, the order of experts means nothing, what is not asked has no weight."""

import pytest
import torch

from decoding.rules import RULES, uniform_log_weights
from pcm.behaviour import FEATURES
from pcm.mixing import mix
from pcm.model import PreferenceControlModel, gate_log_weights, share_log_weights

ASKED = torch.tensor([[1.0, 0.0, 0.4, 1.0], [0.0, 0.2, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]], dtype=torch.double)


def inputs(experts: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(3, 16, generator=generator, dtype=torch.double)
    return hidden, torch.rand(3, experts, len(FEATURES), generator=generator, dtype=torch.double)


def trained(rule: str, behaviour: bool = True) -> PreferenceControlModel:
    torch.manual_seed(1)
    controller = PreferenceControlModel(16, width=8, rule=rule, behaviour=behaviour).double()
    for parameter in controller.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return controller


@pytest.mark.parametrize("behaviour", [True, False])
@pytest.mark.parametrize("rule", RULES)
def test_an_untrained_controller_is_the_uniform_mixture_to_the_last_bit(rule, behaviour):
    controller = PreferenceControlModel(16, width=8, rule=rule, behaviour=behaviour).double()
    assert torch.equal(controller(*inputs(), ASKED), uniform_log_weights(ASKED))


@pytest.mark.parametrize("rule", RULES)
def test_permuting_experts_permutes_weights(rule):
    controller, (hidden, features), order = trained(rule), inputs(), [2, 0, 3, 1]
    weights = controller(hidden, features, ASKED).exp()
    permuted = controller(hidden, features[:, order], ASKED[:, order]).exp()
    torch.testing.assert_close(permuted, weights[:, order], atol=1e-12, rtol=0)
    assert (weights[2, 0] - weights[2, 1]).abs() > 1e-3  # else the order could not show


@pytest.mark.parametrize("rule", RULES)
def test_adding_an_expert_that_is_not_asked_needs_no_parameters_and_changes_nothing(rule):
    controller, (hidden, features) = trained(rule), inputs(5)
    with_fifth = controller(hidden, features, torch.cat((ASKED, torch.zeros(3, 1)), -1))
    torch.testing.assert_close(
        with_fifth[:, :4].exp(), controller(hidden, features[:, :4], ASKED).exp(), atol=1e-12, rtol=0
    )
    assert (with_fifth[:, 4] == -torch.inf).all()


@pytest.mark.parametrize("rule", RULES)
def test_what_is_not_asked_gets_zero_and_what_is_asked_does_not(rule):
    weights = trained(rule)(*inputs(), ASKED).exp()
    assert torch.equal(weights > 0, ASKED > 0)


@pytest.mark.parametrize("rule", RULES)
def test_without_behaviour_what_experts_are_about_to_do_changes_no_weight(rule):
    hidden, _ = inputs()
    base, experts, others = (
        torch.randn(3, *shape, 9, generator=torch.Generator().manual_seed(seed), dtype=torch.double).log_softmax(-1)
        for seed, shape in enumerate(((), (4,), (4,)))
    )
    for behaviour, same in ((True, False), (False, True)):
        controller = trained(rule, behaviour)
        first, second = (mix(RULES[rule], controller, hidden, base, said, ASKED)[1] for said in (experts, others))
        assert torch.equal(first, second) is same


def test_without_behaviour_text_and_intensity_still_decide_and_names_do_not():
    controller, (hidden, features), order = trained("anchored", behaviour=False), inputs(), [2, 0, 3, 1]
    weights = controller(hidden, features, ASKED).exp()
    permuted = controller(hidden, features, ASKED[:, order]).exp()
    torch.testing.assert_close(permuted, weights[:, order], atol=1e-12, rtol=0)
    torch.testing.assert_close(weights[0, 0], weights[0, 3], atol=1e-12, rtol=0)  # asked for alike, weighed alike
    assert (weights[0, 0] * ASKED[0, 2] - weights[0, 2]).abs() > 1e-3
    assert not torch.equal(weights, controller(hidden.flip(0), features, ASKED).exp())
    alike = trained("logit", behaviour=False)(hidden, features, ASKED)[1:]
    torch.testing.assert_close(alike, uniform_log_weights(ASKED)[1:])  # shares of what is asked for alike are equal


def test_shares_sum_to_what_is_asked_and_gates_stay_below_their_bound():
    hidden, features = inputs()
    summed = trained("logit")(hidden, features, ASKED).exp().sum(-1)
    torch.testing.assert_close(summed, torch.tensor([2.4 / 3, 0.2, 1.0]).double())
    gates = gate_log_weights(torch.full((1, 2), 50.0), torch.tensor([[1.0, 0.5]]), max_gate=3.0).exp()
    torch.testing.assert_close(gates, torch.tensor([[3.0, 1.5]]))


def test_shares_and_gates_follow_their_formulas():
    score, asked = torch.tensor([[0.7, -0.2]]), torch.tensor([[1.0, 0.5]])
    offset = torch.logit(torch.tensor(1 / (2 * 3.0)))
    torch.testing.assert_close(gate_log_weights(score, asked, 3.0).exp(), asked * 3.0 * torch.sigmoid(score + offset))
    shares = share_log_weights(score, asked).softmax(-1)
    torch.testing.assert_close(shares, (score + asked.log()).softmax(-1))


@pytest.mark.parametrize("weigh", [share_log_weights, lambda scores, asked: gate_log_weights(scores, asked, 3.0)])
def test_gradients_are_finite_at_saturation_and_where_nothing_is_asked(weigh):
    scores = torch.tensor([[1e4, -1e4, 0.0], [1.0, 2.0, 3.0]], requires_grad=True)
    weigh(scores, torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])).exp().sum().backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


def test_intensity_matters_once_trained():
    controller, (hidden, features) = trained("anchored"), inputs()
    assert not torch.equal(controller(hidden, features, ASKED), controller(hidden, features, (ASKED > 0).double()))


@pytest.mark.parametrize("behaviour", [True, False])
def test_a_saved_controller_comes_back_to_the_last_bit(tmp_path, behaviour):
    controller = trained("logit", behaviour).float()
    controller.save(tmp_path / "pcm")
    loaded = PreferenceControlModel.load(tmp_path / "pcm")
    assert {file.name for file in (tmp_path / "pcm").iterdir()} == {"config.json", "model.safetensors"}
    assert (loaded.rule, loaded.behaviour) == ("logit", behaviour)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in controller.state_dict().items())


def test_a_gate_that_cannot_open_and_an_unknown_rule_are_refused():
    with pytest.raises(ValueError, match="max_gate must be above 1"):
        PreferenceControlModel(16, max_gate=1.0)
    with pytest.raises(ValueError, match="got 'median'"):
        PreferenceControlModel(16, rule="median")
