"""A compiled bank reads the same, in whole graphs and without compiling again at every step."""

from collections.abc import Callable, Iterator

import pytest
import torch
from households import Household
from torch import Tensor, fx
from transformers import PreTrainedModel

from experts.adapters import Adapter
from experts.bank import AdapterConfig, ExpertBank, Rows

PROMPTS = torch.tensor([[0, 0, 0, 7, 8, 9], [0, 3, 4, 5, 6, 7], [11, 12, 13, 14, 15, 16]])
MASK = (PROMPTS > 0).long()
SOME = torch.tensor([[1.0, 0.0, 0.3], [0.0, 0.0, 0.0], [0.7, 0.0, 0.4]])


@pytest.fixture
def graphs() -> Iterator[list[fx.GraphModule]]:
    """Every graph that is compiled."""
    torch.compiler.reset()
    yield []
    torch.compiler.reset()


def collecting(graphs: list[fx.GraphModule]) -> Callable[[fx.GraphModule, list[Tensor]], Callable[..., object]]:
    """A compiler that takes graphs as they are."""

    def take(graph: fx.GraphModule, inputs: list[Tensor]) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    return take


@torch.no_grad()
def spoken(bank: ExpertBank, tokens: int) -> Tensor:
    """Logits (B, n, K, V) of n greedy steps of the first expert."""
    rows, cache, mask, new, steps = Rows.of(SOME), bank.empty_cache(), MASK, PROMPTS, []
    for _ in range(tokens):
        steps.append(bank.read(new, mask, rows, cache, logits_to_keep=1).experts)
        new = steps[-1][:, -1, 0].argmax(dim=-1, keepdim=True)
        mask = torch.cat([mask, torch.ones_like(new)], dim=1)
    return torch.cat(steps, dim=1)


@pytest.mark.slow
def test_a_compiled_bank_reads_the_same_in_three_whole_graphs(house: Household, graphs: list[fx.GraphModule]) -> None:
    plain = spoken(house.bank, 6)
    house.bank.compile(backend=collecting(graphs), fullgraph=True)
    try:
        torch.testing.assert_close(spoken(house.bank, 6), plain, atol=1e-10, rtol=0)
        assert len(graphs) == 3  # a prompt, a first step, and every step after it
        torch.testing.assert_close(spoken(house.bank, 6), plain, atol=1e-10, rtol=0)
        assert len(graphs) == 3
    finally:
        house.bank._compiled = None


@pytest.mark.slow
def test_a_layer_that_is_adapted_after_compiling_is_heard(
    llama_base: PreTrainedModel, graphs: list[fx.GraphModule]
) -> None:
    bank = ExpertBank(llama_base)
    for name in ("a", "b", "c"):
        bank.add(name, AdapterConfig(2, 4, ("q_proj",)))
    bank.compile(backend=collecting(graphs), fullgraph=True)
    before = spoken(bank, 3)
    module = "layers.1.self_attn.o_proj"
    factors = {f"{module}.lora_A.weight": torch.rand(2, 16), f"{module}.lora_B.weight": torch.rand(16, 2)}
    bank.replace("a", Adapter(AdapterConfig(2, 4, (module,)), factors))
    after = spoken(bank, 3)
    bank._compiled = None
    torch.testing.assert_close(after, spoken(bank, 3), atol=1e-10, rtol=0)
    assert (after - before).abs().max() > 0.1


def counting(calls: list[str]) -> Callable[..., Callable[..., object]]:
    """Stands for `torch.compile` where only the place of the compiled pass matters."""

    def compiling(forward: Callable[..., object], **settings: object) -> Callable[..., object]:
        def compiled(*arguments: object, **named: object) -> object:
            calls.append(f"{settings}")
            return forward(*arguments, **named)

        return compiled

    return compiling


def test_only_the_bank_s_own_passes_without_gradient_are_compiled(
    llama_base: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(torch, "compile", counting(calls))
    bank = ExpertBank(llama_base)
    bank.add("a", AdapterConfig(2, 4, ("q_proj",)))
    bank.compile(dynamic=True)
    bank.forward_rows(PROMPTS, MASK, torch.tensor([-1, 0, 0]))
    with torch.no_grad():
        bank.base(input_ids=PROMPTS, attention_mask=MASK)
        assert calls == []
        bank.forward_rows(PROMPTS, MASK, torch.tensor([-1, 0, 0]))
        bank.forward_hidden(PROMPTS, MASK, torch.tensor([-1, 0, 0]))
    assert calls == ["{'dynamic': True}"] * 2
    assert "forward" not in vars(bank.base.base_model)


def test_a_trunk_that_something_else_wraps_is_not_compiled(llama_base: PreTrainedModel) -> None:
    llama_base.base_model.forward = llama_base.base_model.forward
    with pytest.raises(ValueError, match="must have its own forward pass, got"):
        ExpertBank(llama_base).compile()
