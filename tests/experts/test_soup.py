"""Law 7: a soup's update is the sum of its experts' updates."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from households import Household
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel

from experts.bank import AdapterConfig, ExpertBank
from experts.soup import merged_adapter, merged_update

TEXT = torch.tensor([[3, 4, 5, 6], [7, 8, 9, 10]])
WEIGHTS = {"expert0": 0.5, "expert1": 0.2, "expert2": -0.3}


def updates_under_peft(house: Household) -> dict[str, dict[str, Tensor]]:
    """ΔW of each module for each expert, by PEFT."""
    updates: dict[str, dict[str, Tensor]] = {}
    for name in house.bank.names:
        model = house.alone(name)
        layers = {key: part for key, part in model.named_modules() if "default" in getattr(part, "lora_A", {})}
        for key, layer in layers.items():
            updates.setdefault(key.removeprefix("base_model.model."), {})[name] = layer.get_delta_weight("default")
    return updates


@torch.no_grad()
def logits_with(base: PreTrainedModel, updates: dict[str, Tensor]) -> Tensor:
    changed = deepcopy(base)
    for module, update in updates.items():
        changed.get_submodule(module).weight += update
    return changed(TEXT).logits


def test_the_update_is_the_weighted_sum_of_each_expert_s_update(house: Household) -> None:
    merged, separate = merged_update(house.bank, WEIGHTS), updates_under_peft(house)
    assert merged.keys() == separate.keys()
    for module, by_expert in separate.items():
        expected = sum(WEIGHTS[name] * update for name, update in by_expert.items())
        torch.testing.assert_close(merged[module], expected, atol=1e-10, rtol=0)
        assert merged[module].shape == house.base.get_submodule(module).weight.shape


def test_a_soup_of_one_is_that_expert(house: Household) -> None:
    for index, name in enumerate(house.bank.names):
        expected = house.bank.forward_rows(TEXT, torch.ones_like(TEXT), torch.full((2,), index)).logits
        torch.testing.assert_close(
            logits_with(house.base, merged_update(house.bank, {name: 1.0})), expected.detach(), atol=1e-10, rtol=0
        )


def test_a_saved_soup_is_the_same_merged_under_peft_and_as_an_expert(house: Household, tmp_path: Path) -> None:
    expected = logits_with(house.base, merged_update(house.bank, WEIGHTS))
    bank = ExpertBank(deepcopy(house.base))
    bank.add("soup", *merged_adapter(house.bank, WEIGHTS))
    bank.save("soup", tmp_path)
    model = PeftModel.from_pretrained(deepcopy(house.base), tmp_path).eval()
    with torch.no_grad():
        as_expert = bank.forward_rows(TEXT, torch.ones_like(TEXT), torch.zeros(2, dtype=torch.long)).logits
        torch.testing.assert_close(model(TEXT).logits, expected, atol=1e-10, rtol=0)
    torch.testing.assert_close(as_expert, expected, atol=1e-10, rtol=0)
    assert bank.configs["soup"].rank == 2 + 4 + 3
    assert (expected - house.base(TEXT).logits).abs().max() > 0.1


def test_a_soup_of_experts_whose_modules_differ_in_rank_and_alpha_is_exact(llama_base: PreTrainedModel) -> None:
    bank = ExpertBank(llama_base)
    patterns = {"rank_pattern": {"v_proj": 5, "layers.1.self_attn.q_proj": 1}, "alpha_pattern": {"v_proj": 10}}
    bank.add("uneven", AdapterConfig(2, 8, ("q_proj", "v_proj"), **patterns))
    bank.add("even", AdapterConfig(3, 6, ("v_proj",)))
    for name in bank.names:
        for parameter in bank.parameters_of(name):
            torch.nn.init.normal_(parameter)
    merged = merged_update(bank, {"uneven": 0.5, "even": 3.0})
    updates = {
        name: {
            key.removesuffix(".lora_A.weight"): state[key.replace("_A", "_B")] @ state[key]
            for key in state
            if "_A" in key
        }
        for name, state in ((name, bank.state_of(name)) for name in bank.names)
    }
    scaled = {"layers.0.self_attn.q_proj": 4, "layers.1.self_attn.q_proj": 8, "v_proj": 2}
    for module, update in merged.items():
        scaling = next(value for end, value in scaled.items() if module.endswith(end))
        expected = 0.5 * scaling * updates["uneven"][module] + 3.0 * 2 * updates["even"].get(module, torch.zeros(()))
        torch.testing.assert_close(update, expected.detach(), atol=1e-10, rtol=0)
    config, _ = merged_adapter(bank, {"uneven": 0.5, "even": 3.0})
    assert config.rank == 5 + 3


def test_soups_with_different_weights_differ(llama: Household) -> None:
    soups = [merged_update(llama.bank, weights) for weights in (WEIGHTS, {**WEIGHTS, "expert0": 0.4})]
    one, other = (logits_with(llama.base, soup) for soup in soups)
    assert (one - other).abs().max() > 1e-3


def test_averaging_the_factors_separately_would_be_another_update(llama: Household) -> None:
    module = "model.layers.0.self_attn.v_proj"
    states = [llama.bank.state_of(name) for name in ("expert0", "expert1")]
    down = sum(state[f"{module}.lora_A.weight"][:2] for state in states) / 2
    up = sum(state[f"{module}.lora_B.weight"][:, :2] for state in states) / 2
    exact = merged_update(llama.bank, {"expert0": 0.5, "expert1": 0.5})[module]
    assert (up @ down - exact).norm() > 0.3 * exact.norm()


def test_an_expert_without_weight_adds_neither_rank_nor_modules(llama: Household) -> None:
    config, state = merged_adapter(llama.bank, {"expert0": 1.0, "expert1": 0.0})
    assert config.rank == 2
    assert state.keys() == llama.bank.state_of("expert0").keys()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"nobody": 1.0}, r"must be among \['expert0', 'expert1', 'expert2'\], got \['nobody'\]"),
        ({"expert0": float("nan")}, "weights must be finite"),
        ({"expert0": 0.0}, "at least one weight that is not zero"),
        ({}, "at least one weight that is not zero"),
    ],
)
def test_weights_that_make_no_soup_are_refused(llama: Household, weights: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        merged_update(llama.bank, weights)
