import pytest
import torch

from comparison.bench.shapes import SHAPES, merged_copy, random_adapters, random_base, twin

CPU = torch.device("cpu")

TOKENS = torch.tensor([[3, 9, 20, 41]])


def test_a_shape_has_the_parameters_its_name_promises():
    with torch.device("meta"):
        sizes = {name: random_base(name, torch.float32, torch.device("meta")).num_parameters() for name in SHAPES}
    assert sizes["135m"] == 134515008
    assert sizes["1b"] == 1235814400
    assert sizes["8b"] == 8030261248


def test_an_unknown_shape_is_refused():
    with pytest.raises(ValueError, match="one of tiny, 135m, 1b, 8b, got '7b'"):
        random_base("7b", torch.float32, CPU)


def test_equal_seeds_draw_equal_models_and_leave_the_global_generator_alone():
    before = torch.random.get_rng_state()
    first, second = (random_base("tiny", torch.float64, CPU) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first(TOKENS).logits, second(TOKENS).logits)


def test_a_twin_shares_weights_and_no_module(material):
    other = twin(material.base)
    pairs = list(zip(other.parameters(), material.base.parameters(), strict=True))
    assert all(mine is its for mine, its in pairs)
    assert {id(module) for module in other.modules()}.isdisjoint(id(module) for module in material.base.modules())
    assert torch.equal(other(TOKENS).logits, material.base(TOKENS).logits)


def test_a_merged_copy_adds_its_update_and_leaves_the_base(material):
    name = "model.layers.0.mlp.up_proj"
    before = material.base.get_submodule(name).weight.clone()
    merged = merged_copy(material.base, {name: torch.ones_like(before)})
    assert torch.equal(merged.get_submodule(name).weight, before + 1)
    assert torch.equal(material.base.get_submodule(name).weight, before)
    assert merged.get_input_embeddings().weight is material.base.get_input_embeddings().weight


def test_random_adapters_reach_all_seven_projections_and_differ(material):
    one, other = random_adapters(material.base, ["one", "other"], rank=2).values()
    assert len(one) == 2 * 7 * 2  # layers, projections, factors
    assert all(tensor.any() for tensor in one.values())
    assert not any(torch.equal(one[key], other[key]) for key in one)
