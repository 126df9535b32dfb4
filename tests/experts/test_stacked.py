"""What the stacked layers keep between passes, and what belongs to one expert alone."""

from copy import deepcopy

import pytest
import torch
from households import Household, tiny_base
from torch import Tensor, nn
from transformers import PreTrainedModel

from experts.adapters import Adapter
from experts.bank import AdapterConfig, ExpertBank, Rows
from experts.stacked import Layout, Routing, StackedAdapter

EXACT = {"atol": 1e-10, "rtol": 0.0}
TEXT = torch.tensor([[3, 4, 5, 6], [7, 8, 9, 10], [11, 12, 13, 14]])
ONES = torch.ones_like(TEXT)
NAMES = ["long", "short", "elsewhere"]


@pytest.fixture
def bank(llama_base: PreTrainedModel) -> ExpertBank:
    """Three trained-looking experts of one's own, to change at will."""
    bank = ExpertBank(llama_base)
    for seed, name in enumerate("abc"):
        bank.add(name, AdapterConfig(2 + seed, 4, ("q_proj", "down_proj")))
        for parameter in bank.parameters_of(name):
            nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(seed))
    return bank


@torch.no_grad()
def logits_of(bank: ExpertBank, *experts: int) -> Tensor:
    return bank.forward_rows(TEXT[: len(experts)], ONES[: len(experts)], torch.tensor(experts)).logits


def a_layer() -> StackedAdapter:
    """Factors from 5 to 4 features; the third expert adapts other layers only."""
    layer, generator = StackedAdapter(Routing()), torch.Generator().manual_seed(1)
    for name, rank, scaling in (("long", 3, 0.5), ("short", 1, 2.0)):
        down, up = torch.randn(rank, 5, generator=generator), torch.randn(4, rank, generator=generator)
        layer.add(name, down.double(), up.double(), scaling)
    return layer


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize(
    "experts", [[0, 1], [-1, 0, 0, 1, 1], [0, 0, 0, 1], [-1, -1, 0, 1, 1, 2], [0, 2], [1], [2, 2], [-1, -1]]
)
@pytest.mark.parametrize("half", [False, True])
def test_stacked_products_equal_one_row_after_the_other(
    experts: list[int], tokens: int, gradients: bool, half: bool
) -> None:
    layer, generator = a_layer(), torch.Generator().manual_seed(2)
    inputs = torch.randn(len(experts), tokens, 5, generator=generator).double()
    outputs = torch.randn(len(experts), tokens, 4, generator=generator).double()
    if half:
        inputs, outputs = inputs.bfloat16(), outputs.bfloat16()
    expected = outputs.clone()
    for row, expert in enumerate(experts):
        if expert in (0, 1):
            name = NAMES[expert]
            update = layer.scalings[name] * inputs[row].double() @ layer.down[name].T @ layer.up[name].T
            expected[row] = (outputs[row] + update.detach()).to(outputs.dtype)
    layout = Layout.of(experts, NAMES, inputs.device)
    with torch.set_grad_enabled(gradients), layer._routing.along(layout):
        updated = layer.update(nn.Identity(), (inputs,), outputs.clone())
    torch.testing.assert_close(updated, expected, atol=1e-12, rtol=0)


def test_an_output_that_lies_crosswise_in_memory_is_updated_too() -> None:
    layer, generator = a_layer(), torch.Generator().manual_seed(2)
    inputs = torch.randn(4, 3, 5, generator=generator).double()
    outputs = torch.randn(4, 4, 3, generator=generator).double().transpose(1, 2)
    with torch.no_grad(), layer._routing.along(Layout.of([0, 0, 1, 1], NAMES, inputs.device)):
        updated = layer.update(nn.Identity(), (inputs,), outputs.clone(memory_format=torch.preserve_format))
    with torch.no_grad(), layer._routing.along(Layout.of([0, 0, 1, 1], NAMES, inputs.device)):
        expected = layer.update(nn.Identity(), (inputs,), outputs.contiguous())
    torch.testing.assert_close(updated, expected, atol=1e-12, rtol=0)
    assert not torch.allclose(updated, outputs)


def test_a_layer_that_regroups_tokens_is_refused() -> None:
    layer = a_layer()
    layout = Layout.of([0, 1], NAMES, torch.device("cpu"))
    with layer._routing.along(layout), pytest.raises(ValueError, match="must be given 2 rows, got 6"):
        layer.update(nn.Identity(), (torch.ones(6, 5).double(),), torch.ones(6, 4).double())


def test_training_one_expert_leaves_the_bits_of_the_others_and_of_the_base(bank: ExpertBank) -> None:
    before = deepcopy(bank.state_dict())
    optimizers = {name: torch.optim.AdamW(bank.parameters_of(name), lr=0.1) for name in bank.names}
    for _ in range(2):
        bank.forward_rows(TEXT, ONES, torch.tensor([0, 1, 2])).logits.square().sum().backward()
        optimizers["b"].step()
        bank.zero_grad()
    moved = {key for key, tensor in bank.state_dict().items() if not torch.equal(tensor, before[key])}
    assert moved == {key for key in before if key.endswith(".b")}


def test_the_stack_is_kept_between_passes_without_gradient(bank: ExpertBank) -> None:
    layer = next(module for module in bank.modules() if isinstance(module, StackedAdapter))
    stacks = []
    with torch.no_grad():
        for experts in ([0, 1], [-1, -1], [0, 1]):  # a pass of the base alone does not lose it
            bank.forward_rows(TEXT[:2], ONES[:2], torch.tensor(experts))
            assert layer._kept is not None
            stacks.append(layer._kept[1][0])
    assert stacks[0] is stacks[1] is stacks[2]
    assert not stacks[0].requires_grad
    bank.forward_rows(TEXT[:2], ONES[:2], torch.tensor([0, 1]))
    assert layer._kept is None


def test_a_stack_that_nobody_used_while_parameters_changed_is_made_anew(bank: ExpertBank) -> None:
    before = logits_of(bank, 0, 1, 2)
    with torch.no_grad():
        bank.parameters_of("b")[0].add_(1.0)
    logits_of(bank, -1)
    assert not torch.allclose(logits_of(bank, 0, 1, 2)[1], before[1])


def test_a_kept_stack_follows_a_step_of_training(bank: ExpertBank) -> None:
    before = logits_of(bank, 0, 1, 2)
    bank.forward_rows(TEXT, ONES, torch.tensor([0, 1, 2])).logits.sum().backward()
    assert torch.equal(logits_of(bank, 0, 1, 2), before)
    torch.optim.SGD(bank.parameters_of("b"), lr=0.01).step()
    after = logits_of(bank, 0, 1, 2)
    assert torch.equal(after[[0, 2]], before[[0, 2]])
    assert not torch.allclose(after[1], before[1])


def test_a_kept_stack_follows_loading(bank: ExpertBank) -> None:
    before = logits_of(bank, 0, 1, 2)
    zeros = {key: torch.zeros_like(tensor) for key, tensor in bank.state_dict().items() if key.endswith(".a")}
    bank.load_state_dict({**bank.state_dict(), **zeros})
    after = logits_of(bank, 0, 1, 2)
    torch.testing.assert_close(after[0], logits_of(bank, -1)[0], **EXACT)
    torch.testing.assert_close(after[1:], before[1:], **EXACT)


@torch.no_grad()
def test_a_kept_stack_follows_a_cast(bank: ExpertBank) -> None:
    layer = next(module for module in bank.modules() if isinstance(module, StackedAdapter))
    assert layer._stack(("a", "b"), learning=False)[0].dtype == torch.float64
    bank.float()
    assert layer._stack(("a", "b"), learning=False)[0].dtype == torch.float32


def test_a_stack_made_in_inference_mode_serves_training_later(bank: ExpertBank) -> None:
    with torch.inference_mode():
        bank.forward_rows(TEXT, ONES, torch.tensor([0, 1, 2]))
    bank.requires_grad_(False)
    embedded = bank.base.get_input_embeddings()
    embedded.weight.requires_grad_(True)
    bank.forward_rows(TEXT, ONES, torch.tensor([0, 1, 2])).logits.sum().backward()
    assert embedded.weight.grad is not None
    assert embedded.weight.grad.isfinite().all()


def test_an_expert_made_in_inference_mode_can_be_read(bank: ExpertBank) -> None:
    with torch.inference_mode():
        bank.add("late", *trained_in_memory(bank))
        first = bank.forward_rows(TEXT, ONES, torch.tensor([0, 0, 3])).logits
        again = bank.forward_rows(TEXT, ONES, torch.tensor([0, 0, 3])).logits
    torch.testing.assert_close(first, again, **EXACT)
    torch.testing.assert_close(first[2], logits_of(bank, 0, 0, 0)[2], **EXACT)


def trained_in_memory(bank: ExpertBank) -> tuple[AdapterConfig, dict[str, Tensor]]:
    """A copy of the first expert."""
    return bank.configs["a"], {key: tensor.clone() for key, tensor in bank.state_of("a").items()}


def test_a_base_that_was_trained_until_now_reads_without_dropout(llama_base: PreTrainedModel) -> None:
    assert not ExpertBank(llama_base.train()).base.training


def test_removing_an_expert_moves_the_others_up_unchanged(bank: ExpertBank) -> None:
    base, _, last = logits_of(bank, -1, -1, 2)
    bank.remove("b")
    assert bank.names == ["a", "c"]
    torch.testing.assert_close(logits_of(bank, -1, 0, 1)[2], last, **EXACT)
    bank.add("b", AdapterConfig(1, 1, ("q_proj",)))
    torch.testing.assert_close(logits_of(bank, 2)[0], base, **EXACT)
    with pytest.raises(ValueError, match=r"must be one of \['a', 'c', 'b'\], got 'd'"):
        bank.remove("d")


def trained(seed: int, rank: int, *targets: str) -> tuple[AdapterConfig, dict[str, Tensor]]:
    """An adapter from elsewhere."""
    elsewhere = ExpertBank(tiny_base("llama"))
    elsewhere.add("x", AdapterConfig(rank, 3, targets), generator=torch.Generator().manual_seed(seed))
    for parameter in elsewhere.parameters_of("x"):
        nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(seed))
    return elsewhere.configs["x"], elsewhere.state_of("x")


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_a_replaced_expert_reads_like_the_new_one_and_the_others_bits_stay(bank: ExpertBank, rank: int) -> None:
    config, state = trained(7, rank, "q_proj", "up_proj")  # no longer down_proj, but up_proj
    before, readings = deepcopy(bank.state_dict()), logits_of(bank, 0, 1, 2)
    bank.replace("b", Adapter(config, state))
    alone = ExpertBank(deepcopy(bank.base))
    alone.base.load_state_dict(bank.base.state_dict())
    alone.add("b", config, state)
    assert bank.names == ["a", "b", "c"]
    assert all(torch.equal(tensor, before[key]) for key, tensor in bank.state_dict().items() if not key.endswith(".b"))
    after = logits_of(bank, 0, 1, 2)
    torch.testing.assert_close(after[1], logits_of(alone, 0, 0)[1], **EXACT)
    torch.testing.assert_close(after[[0, 2]], readings[[0, 2]], **EXACT)
    assert (after[1] - readings[1]).abs().max() > 1e-3
    assert bank.state_of("b").keys() == state.keys()


def test_an_expert_replaced_while_a_cache_is_alive_leaves_the_other_rows_as_they_were(bank: ExpertBank) -> None:
    rows, experts = torch.tensor([-1, 0, 2]), [0, 1, 2]
    whole = logits_of(bank, *rows.tolist())
    cache = bank.empty_cache()
    with torch.no_grad():
        bank.forward_rows(TEXT[:, :3], ONES[:, :3], rows, cache)
        bank.replace("b", Adapter(*trained(7, 2, "q_proj")))
        step = bank.forward_rows(TEXT[:, 3:], ONES, rows, cache).logits
    torch.testing.assert_close(step[experts, -1], whole[experts, -1], **EXACT)


def test_a_folder_replaces_an_expert_and_a_misfit_leaves_the_old_one(llama: Household, bank: ExpertBank) -> None:
    before = logits_of(bank, 1, 1, 1)
    config, state = trained(7, 2, "q_proj")
    with pytest.raises(ValueError, match="must match its target modules"):
        bank.replace("b", Adapter(AdapterConfig(2, 3, ("v_proj",)), state))
    with pytest.raises(ValueError, match=r"must be one of \['a', 'b', 'c'\], got 'd'"):
        bank.replace("d", Adapter(config, state))
    assert torch.equal(logits_of(bank, 1, 1, 1), before)
    bank.replace("b", llama.folders["expert0"])
    torch.testing.assert_close(logits_of(bank, 1, 1, 1), logits_of(llama.bank, 0, 0, 0), **EXACT)


@pytest.mark.parametrize("name", ["a", "", "a.b"])
def test_a_name_that_is_taken_or_cannot_be_kept_is_refused(bank: ExpertBank, name: str) -> None:
    with pytest.raises(ValueError, match="must be new and without dots"):
        bank.add(name, AdapterConfig(1, 1, ("q_proj",)))


def test_two_banks_on_one_base_do_not_meet(llama: Household) -> None:
    expected = logits_of(llama.bank, -1, 0, 1)
    rewards = ExpertBank(llama.bank.base.base_model)
    rewards.add("quality", AdapterConfig(2, 4, "all-linear"))
    for parameter in rewards.parameters_of("quality"):
        nn.init.normal_(parameter, std=0.3)
    nobody, quality = torch.full((3,), -1), torch.zeros(3, dtype=torch.long)
    with torch.no_grad():
        before, after = (rewards.forward_hidden(TEXT, ONES, experts) for experts in (nobody, quality))
    assert not torch.allclose(before, after)
    assert torch.equal(logits_of(llama.bank, -1, 0, 1), expected)


def test_a_copied_bank_goes_its_own_way(bank: ExpertBank) -> None:
    copy = deepcopy(bank)
    before = logits_of(bank, 0, 1, 2)
    torch.testing.assert_close(logits_of(copy, 0, 1, 2), before, **EXACT)
    with torch.no_grad():
        for parameter in copy.parameters_of("a"):
            parameter.zero_()
    assert torch.equal(logits_of(bank, 0, 1, 2), before)
    assert not torch.allclose(logits_of(copy, 0, 1, 2), before)


def test_rows_hold_the_base_first_and_then_one_group_per_expert() -> None:
    rows = Rows.of(torch.tensor([[0.0, 0.4, 1.0], [0.2, 0.0, 0.9]]))
    assert rows.requests.tolist() == [0, 1, 1, 0, 0, 1]
    assert rows.experts.tolist() == [-1, -1, 0, 1, 2, 2]


def test_rows_of_experts_in_disorder_are_refused() -> None:
    with pytest.raises(ValueError, match=r"experts must be sorted, got \[3, 0\]"):
        Rows(torch.tensor([0, 0]), torch.tensor([3, 0]))


@pytest.mark.parametrize(
    ("experts", "mask", "message"),
    [
        ([1, 0, 2], ONES, r"sorted and from -1 \(base\) to 2, got \[1, 0, 2\]"),
        ([0, 1, 3], ONES, r"to 2, got \[0, 1, 3\]"),
        ([-2, 0, 1], ONES, "sorted and from -1"),
        ([0, 1], ONES, r"one expert per row, \(3,\), got \(2,\)"),
        ([0, 1, 2], ONES[:, :3], r"cached and new tokens, \(3, 4\), got \(3, 3\).*empty_cache"),
    ],
)
def test_rows_that_cannot_be_read_are_refused(bank: ExpertBank, experts: list[int], mask: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bank.forward_rows(TEXT, mask, torch.tensor(experts))


def test_rows_in_another_order_read_the_same(bank: ExpertBank) -> None:
    ordered = bank.read(TEXT, ONES, Rows.of(torch.ones(3, 3)))
    shuffled = Rows(torch.tensor([0, 1, 2] + [2, 0, 1] * 3), torch.arange(-1, 3).repeat_interleave(3))
    torch.testing.assert_close(bank.read(TEXT, ONES, shuffled).experts, ordered.experts, **EXACT)


def test_reading_without_the_base_s_rows_is_refused(bank: ExpertBank) -> None:
    with pytest.raises(ValueError, match=r"one base row for each of 3 requests, got \[\]"):
        bank.read(TEXT, ONES, Rows(torch.arange(3), torch.zeros(3, dtype=torch.long)))
    backwards = Rows(torch.tensor([2, 1, 0]), torch.tensor([-1, -1, -1]))
    with pytest.raises(ValueError, match=r"one base row for each of 3 requests, got \[2, 1, 0\]"):
        bank.read(TEXT, ONES, backwards)
