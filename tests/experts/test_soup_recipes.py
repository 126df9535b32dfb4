"""What else is called a soup: each recipe is what its paper says, and a broken soup is seen."""

import re
from pathlib import Path

import pytest
import torch
from households import Household
from peft import LoraConfig, get_peft_model
from torch import Tensor

from experts.adapters import DOWN, UP
from experts.bank import AdapterConfig, ExpertBank
from experts.soup.check import checked
from experts.soup.exact import merged_adapter
from experts.soup.recipes import (
    RECIPES,
    averaged_factors,
    dare_merged,
    factored,
    recipe_named,
    ties_merged,
    updates_of,
)

WEIGHTS = {"expert0": 0.5, "expert1": 0.2, "expert2": -0.3}


def updates(cooked: tuple[AdapterConfig, dict[str, Tensor]]) -> dict[str, Tensor]:
    config, state = cooked
    scale = config.alpha / config.rank
    return {
        key.removesuffix(DOWN): scale * state[key.removesuffix(DOWN) + UP] @ state[key]
        for key in state
        if key.endswith(DOWN)
    }


@pytest.fixture
def scalar(llama: Household) -> ExpertBank:
    """Three experts on one module, whose updates are (out, in) with numbers that can be read off by eye."""
    bank = ExpertBank(llama.base)
    module = "model.layers.0.self_attn.k_proj"  # (8, 16)
    for name, entries in {"a": [4.0, -1.0, 3.0], "b": [2.0, 5.0, 0.5], "c": [-3.0, 1.0, 0.4]}.items():
        down, up = torch.zeros(1, 16), torch.zeros(8, 1)
        down[0, :3], up[0, 0] = torch.tensor(entries), 1.0
        bank.add(name, AdapterConfig(1, 1, (module,)), {module + DOWN: down, module + UP: up})
    return bank


def row(cooked: tuple[AdapterConfig, dict[str, Tensor]]) -> list[float]:
    (update,) = updates(cooked).values()
    assert update[1:].abs().max() < 1e-12
    return update[0, :3].tolist()


def test_ties_trims_elects_and_averages_those_who_agree(scalar: ExpertBank) -> None:
    """Signs by the sum: + + +. Against the plain mean, who disagrees is left out of the number that divides too."""
    assert row(ties_merged(scalar, dict.fromkeys("abc", 1.0), density=1.0)) == pytest.approx([3.0, 3.0, 3.9 / 3])
    trimmed = row(ties_merged(scalar, dict.fromkeys("abc", 1.0), density=2 / 128))  # the two largest of 128 entries
    assert trimmed == pytest.approx([3.0, 3.0, 3.0])


def test_dare_drops_some_and_scales_the_others_up(scalar: ExpertBank) -> None:
    whole = row(dare_merged(scalar, {"a": 1.0}, density=1.0))
    assert whole == pytest.approx([4.0, -1.0, 3.0])
    kept = [row(dare_merged(scalar, {"a": 1.0}, density=0.5, seed=seed)) for seed in range(12)]
    assert {abs(value) > 1e-9 for one in kept for value in one} == {True, False}
    for one in kept:
        assert all(abs(value) < 1e-9 or value == pytest.approx(2 * w) for value, w in zip(one, whole, strict=True))


def test_dare_s_seed_decides_and_leaves_torch_s_own_generator_alone(scalar: ExpertBank) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one = row(dare_merged(scalar, dict.fromkeys("abc", 1.0)))
    assert torch.rand(3).tolist() == expected.tolist()
    assert one == row(dare_merged(scalar, dict.fromkeys("abc", 1.0)))


def test_averaged_factors_are_those_of_the_literature_for_experts_of_one_shape(llama: Household) -> None:
    """PEFT's own weighted adapter with `linear` puts √(w s) on both sides: for equal scalings the same family."""
    bank = ExpertBank(llama.base)
    module = "model.layers.0.self_attn.v_proj"
    torch.manual_seed(0)
    for name in ("a", "b"):
        bank.add(name, AdapterConfig(2, 6, ("layers.0.self_attn.v_proj",)))
        for parameter in bank.parameters_of(name):
            torch.nn.init.normal_(parameter)
    states = [bank.state_of(name) for name in ("a", "b")]
    down = sum(state[module + DOWN] for state in states) / 2
    up = sum(state[module + UP] for state in states) / 2
    found = updates(averaged_factors(bank, {"a": 0.5, "b": 0.5}))[module]
    torch.testing.assert_close(found, 3 * up @ down, atol=1e-10, rtol=0)


def test_factoring_an_update_loses_nothing(house: Household) -> None:
    wanted = updates_of(house.bank, "expert2")
    found = updates(factored(wanted))
    assert found.keys() == wanted.keys()
    for module, update in wanted.items():
        torch.testing.assert_close(found[module], update, atol=1e-10, rtol=0)
    assert factored(wanted)[0].rank == 3  # of rank three before, and not of full rank now


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_gives_an_adapter_that_the_bank_takes_and_changes_something(house: Household, name: str) -> None:
    bank = ExpertBank(house.base)
    bank.add("soup", *RECIPES[name].cook(house.bank, WEIGHTS))
    text = torch.tensor([[3, 4, 5, 6]])
    logits = bank.forward_rows(text, torch.ones_like(text), torch.tensor([0])).logits
    plain = bank.forward_rows(text, torch.ones_like(text), torch.tensor([-1])).logits
    assert (logits - plain).abs().max() > 1e-3


def test_the_check_passes_the_exact_soup_and_says_how_far_the_others_are(house: Household) -> None:
    errors = {
        name: checked(house.bank, WEIGHTS, *recipe.cook(house.bank, WEIGHTS), recipe.exact)
        for name, recipe in RECIPES.items()
    }
    assert errors["exact"].error < 1e-9
    assert not any(one.broken for one in errors.values())
    assert all(errors[name].error > 0.1 for name in ("factors", "ties", "dare"))


def forgets_scaling(bank: ExpertBank) -> tuple[AdapterConfig, dict[str, Tensor]]:
    config, state = merged_adapter(bank, WEIGHTS)
    return AdapterConfig(config.rank, config.alpha * 2, config.target_modules), state


def forgets_a_module(bank: ExpertBank) -> tuple[AdapterConfig, dict[str, Tensor]]:
    config, state = merged_adapter(bank, WEIGHTS)
    lost = next(key for key in state if key.endswith(UP))
    return config, {**state, lost: torch.zeros_like(state[lost])}


def mixes_up_two_experts(bank: ExpertBank) -> tuple[AdapterConfig, dict[str, Tensor]]:
    return merged_adapter(bank, {"expert0": 0.2, "expert1": 0.5, "expert2": -0.3})


def is_no_number(bank: ExpertBank) -> tuple[AdapterConfig, dict[str, Tensor]]:
    config, state = merged_adapter(bank, WEIGHTS)
    return config, {key: factor * float("nan") for key, factor in state.items()}


@pytest.mark.parametrize("bug", [forgets_scaling, forgets_a_module, mixes_up_two_experts, is_no_number, None])
def test_a_soup_with_a_bug_is_flagged(house: Household, bug) -> None:
    cooked = averaged_factors(house.bank, WEIGHTS) if bug is None else bug(house.bank)
    assert checked(house.bank, WEIGHTS, *cooked, promised=True).broken


def test_recipes_that_cannot_be_are_refused(scalar: ExpertBank) -> None:
    with pytest.raises(ValueError, match="must be one of exact, factors, ties, dare, got 'stew'"):
        recipe_named("stew")
    with pytest.raises(ValueError, match="only ties and dare have a density"):
        recipe_named("exact", 0.5)
    with pytest.raises(ValueError, match=r"density must be in \(0, 1\], got 0"):
        ties_merged(scalar, {"a": 1.0}, density=0)
    assert recipe_named("ties", 0.25).label == "TIES on the updates, density 0.25"


def test_the_command_saves_a_soup_of_adapters_made_by_peft(tmp_path: Path, llama: Household, capsys) -> None:
    from experts.soup.__main__ import main

    llama.base.save_pretrained(tmp_path / "base")
    experts = {}
    for name in ("a", "b"):
        model = get_peft_model(
            type(llama.base).from_pretrained(tmp_path / "base"), LoraConfig(r=2, target_modules=["q_proj"])
        )
        for key, parameter in model.named_parameters():
            if "lora_B" in key:
                torch.nn.init.normal_(parameter)
        model.save_pretrained(tmp_path / name)
        experts[name] = str(tmp_path / name)
    arguments = ["--base", str(tmp_path / "base"), "--experts", str(experts), "--weights", "{'a': 0.5, 'b': 0.5}"]
    assert main([*arguments, "--output", str(tmp_path / "soup")]) == 0
    assert "rank 4" in capsys.readouterr().out
    assert main([*arguments, "--output", str(tmp_path / "soup")]) == 1
    assert "must be a new or empty folder" in capsys.readouterr().err
    assert main([*arguments, "--output", str(tmp_path / "ties"), "--recipe", "ties", "--density", "0.3"]) == 0


def test_an_output_that_is_no_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from experts.soup.__main__ import main

    (tmp_path / "soup").write_text("a file", encoding="utf-8")
    assert main(["--weights", "{'a': 1}", "--output", str(tmp_path / "soup")]) == 1
    told = capsys.readouterr().err
    assert "Not a directory" in told
    assert told.count("\n") == 1


def test_the_command_saves_the_soup_that_a_controller_is_on_average(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    from experts.soup.__main__ import main

    (tmp_path / "questions.jsonl").write_text('{"messages": [{"role": "user", "content": "What is it?"}]}\n')
    asked = ["--bundle", str(tiny_bundle), "--preference", "{'friendly': 1, 'concise': 1}", "--max_new_tokens", "8"]
    output = ["--output", str(tmp_path / "static")]
    assert main([*asked, *output]) == 1
    assert "either weights, or a preference with prompts and a bundle" in capsys.readouterr().err
    assert main([*asked, *output, "--prompts", str(tmp_path / "questions.jsonl")]) == 0
    found = re.search(r"([\d.]+) friendly, ([\d.]+) concise; rank", capsys.readouterr().out)
    assert found is not None
    assert 0 < float(found[1]) != float(found[2]) > 0
    assert (tmp_path / "static" / "adapter_model.safetensors").exists()


@pytest.mark.parametrize("name", RECIPES)
def test_larger_weights_make_the_same_soup_larger(llama: Household, name: str) -> None:
    """What is cooked once serves for every scale: else each candidate of a search would take minutes."""
    recipe = recipe_named(name)
    small, large = (updates(recipe.cook(llama.bank, {k: s * w for k, w in WEIGHTS.items()})) for s in (1.0, 1.5))
    for module, update in small.items():
        assert torch.allclose(large[module], 1.5**recipe.degree * update, atol=1e-6)
        assert not torch.allclose(large[module], 1.5 ** (3 - recipe.degree) * update, atol=1e-3)
