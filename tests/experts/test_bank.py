"""Laws 1 to 4: the bank reads like each expert alone, however its rows are grouped, padded and cached."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from households import VOCABULARY, Household
from torch import Tensor

from decoding.loop import decode
from decoding.rules import RULES
from decoding.sampling import Sampling
from experts.bank import ExpertBank, Rows

EXACT = {"atol": 1e-10, "rtol": 0.0}
PROMPTS = torch.tensor([[0, 0, 0, 7, 8, 9], [0, 3, 4, 5, 6, 7], [11, 12, 13, 14, 15, 16]])
MASK = (PROMPTS > 0).long()  # padded on the left by three, one and no tokens
EVERYBODY = torch.ones(3, 3)
SOME = torch.tensor([[1.0, 0.0, 0.3], [0.0, 0.0, 0.0], [0.7, 0.0, 0.0]])


@pytest.fixture(autouse=True)
def no_gradients(request: pytest.FixtureRequest) -> Iterator[None]:
    with torch.set_grad_enabled("gradient" in request.node.name):
        yield


def positions(mask: Tensor) -> Tensor:
    return (mask.cumsum(-1) - 1).clamp(min=0)


@dataclass
class OneHotStep:
    logprobs: Tensor


def decoded(bank: ExpertBank, expert: int, rule: str, tokens: int) -> Tensor:
    """Greedy tokens (B, n) of the mixture in which this expert has all the weight and the others run beside it."""
    rows, cache = Rows.of(EVERYBODY), bank.empty_cache()
    log_weights = torch.full((3, 3), -torch.inf, dtype=torch.float64)
    log_weights[:, expert] = 0
    mask = MASK[:, :0]

    def step(new: Tensor) -> OneHotStep:
        nonlocal mask
        mask = torch.cat([mask, torch.ones_like(new) if len(mask[0]) else MASK], dim=1)
        reading = bank.read(new, mask, rows, cache, logits_to_keep=1)
        base, experts = reading.base[:, -1].log_softmax(-1), reading.experts[:, -1].log_softmax(-1)
        return OneHotStep(RULES[rule](base, experts, log_weights))

    greedy = Sampling(temperature=0, max_new_tokens=tokens)
    return torch.stack([now.tokens for now in decode(step, PROMPTS, greedy, [], stop_ids=[], pad_id=0)], dim=1)


@pytest.mark.parametrize("rule", RULES)
def test_one_hot_weights_decode_exactly_like_that_expert_under_generate(house: Household, rule: str) -> None:
    spoken = []
    for expert, name in enumerate(house.bank.names):
        alone = house.alone(name).generate(PROMPTS, attention_mask=MASK, do_sample=False, max_new_tokens=10)[:, 6:]
        assert decoded(house.bank, expert, rule, 10).tolist() == alone.tolist()
        spoken.append(alone.tolist())
    assert len({str(tokens) for tokens in spoken}) == len(spoken), "experts that agree would prove nothing"


def test_each_expert_reads_like_peft_runs_it_and_the_base_like_the_base(house: Household) -> None:
    reading = house.bank.read(PROMPTS, MASK, Rows.of(EVERYBODY))
    real = MASK.bool()
    inputs = {"input_ids": PROMPTS, "attention_mask": MASK, "position_ids": positions(MASK)}
    base = house.base(**inputs).logits
    torch.testing.assert_close(reading.base[real], base[real], **EXACT)
    for index, name in enumerate(house.bank.names):
        alone = house.alone(name)(**inputs).logits
        torch.testing.assert_close(reading.experts[:, :, index][real], alone[real], **EXACT)
        assert (alone - base)[real].abs().max() > 0.1


@pytest.mark.parametrize("asked", [EVERYBODY, SOME, 1 - SOME.ceil(), torch.zeros(3, 3)])
def test_who_else_is_asked_changes_nothing(house: Household, asked: Tensor) -> None:
    full = house.bank.read(PROMPTS, MASK, Rows.of(EVERYBODY))
    some = house.bank.read(PROMPTS, MASK, Rows.of(asked))
    base = full.base.unsqueeze(2).expand_as(full.experts)
    expected = torch.where((asked > 0)[:, None, :, None], full.experts, base)
    real = MASK.bool()
    torch.testing.assert_close(some.experts[real], expected[real], **EXACT)
    torch.testing.assert_close(some.hidden[real], full.hidden[real], **EXACT)


def test_a_request_reads_the_same_alone_and_padded_in_a_batch(house: Household) -> None:
    batch = house.bank.read(PROMPTS, MASK, Rows.of(SOME))
    for request, pads in enumerate((3, 1, 0)):
        prompt = PROMPTS[request : request + 1, pads:]
        alone = house.bank.read(prompt, torch.ones_like(prompt), Rows.of(SOME[request : request + 1]))
        torch.testing.assert_close(alone.experts[0], batch.experts[request, pads:], **EXACT)
        torch.testing.assert_close(alone.hidden[0], batch.hidden[request, pads:], **EXACT)


@pytest.mark.parametrize("asked", [EVERYBODY, SOME])
def test_reading_step_by_step_equals_one_full_pass(house: Household, asked: Tensor) -> None:
    text = torch.cat([PROMPTS, torch.arange(18).view(3, 6) + 20], dim=1)  # longer than any sliding window
    mask = torch.cat([MASK, torch.ones(3, 6, dtype=torch.long)], dim=1)
    full = house.bank.read(text, mask, Rows.of(asked))
    cache, rows = house.bank.empty_cache(), Rows.of(asked)
    for start, end in [(0, 6), (6, 8), *((n, n + 1) for n in range(8, 12))]:
        step = house.bank.read(text[:, start:end], mask[:, :end], rows, cache, logits_to_keep=1)
        torch.testing.assert_close(step.experts[:, -1], full.experts[:, end - 1], **EXACT)
        torch.testing.assert_close(step.base[:, -1], full.base[:, end - 1], **EXACT)
        torch.testing.assert_close(step.hidden[:, -1], full.hidden[:, end - 1], **EXACT)


def test_a_sliding_layer_s_cache_keeps_no_more_than_its_window(household: Callable[[str], Household]) -> None:
    bank = household("gemma3").bank
    cache = bank.empty_cache()
    bank.read(PROMPTS, MASK, Rows.of(SOME), cache)
    assert [layer.keys.shape[2] for layer in cache.layers] == [3, 6]  # the token that comes next is the window's fourth


def test_a_prefill_computes_logits_for_the_last_position_only(llama: Household) -> None:
    sizes: list[int] = []
    handle = llama.bank.base.lm_head.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[1]))
    reading = llama.bank.read(PROMPTS, MASK, Rows.of(EVERYBODY), llama.bank.empty_cache(), logits_to_keep=1)
    handle.remove()
    assert sizes == [1]
    assert reading.base.shape == (3, 1, VOCABULARY)
    assert reading.experts.shape == (3, 1, 3, VOCABULARY)
    assert reading.hidden.shape == (3, 1, 16)


def test_hidden_states_are_what_the_head_reads(house: Household) -> None:
    output = house.bank.forward_rows(PROMPTS, MASK, torch.tensor([-1, 0, 2]), hidden=True)
    assert output.hidden is not None
    torch.testing.assert_close(house.bank.base.lm_head(output.hidden), output.logits, **EXACT)
    trunk = house.bank.forward_hidden(PROMPTS, MASK, torch.tensor([-1, 0, 2]))
    torch.testing.assert_close(trunk, output.hidden, **EXACT)


@pytest.mark.parametrize("experts", [[0, 0, 2, 2], [-1, 0, 0, 2], [-1, -1, 1, 1], [2, 2, 2, 2], [0, 1, 1, 2]])
def test_the_stacked_gradient_is_each_expert_s_own(llama: Household, experts: list[int]) -> None:
    text = torch.tensor([[3, 4, 5], [6, 7, 8], [9, 10, 11], [12, 13, 14]])
    ones, bank = torch.ones_like(text), llama.bank
    bank.zero_grad()
    bank.forward_rows(text, ones, torch.tensor(experts)).logits.log_softmax(-1)[..., 5].sum().backward()
    for index, name in enumerate(bank.names):
        rows = [row for row, expert in enumerate(experts) if expert == index]
        alone = llama.alone(name)
        alone.requires_grad_(True)
        if rows:
            alone(input_ids=text[rows], attention_mask=ones[rows]).logits.log_softmax(-1)[..., 5].sum().backward()
        own = {key.replace(".default", ""): p.grad for key, p in alone.named_parameters() if "lora_" in key}
        for key, mine in zip(bank.state_of(name), bank.parameters_of(name), strict=True):
            if not rows:
                assert mine.grad is None or not mine.grad.any()
            else:
                assert mine.grad is not None
                assert mine.grad.any()
                torch.testing.assert_close(mine.grad, own[f"base_model.model.{key}"], **EXACT)
    assert all(parameter.grad is None for parameter in bank.base.parameters())
    bank.zero_grad()


def test_gradients_stay_finite_beside_padding(house: Household) -> None:
    house.bank.zero_grad()
    logits = house.bank.forward_rows(PROMPTS, MASK, torch.tensor([0, 1, 2])).logits
    logits[MASK.bool()].log_softmax(-1)[:, 3].sum().backward()
    for name in house.bank.names:
        assert all(p.grad is not None and p.grad.isfinite().all() for p in house.bank.parameters_of(name))
    house.bank.zero_grad()


def test_the_base_stays_itself_beside_its_experts(house: Household) -> None:
    house.bank.read(PROMPTS, MASK, Rows.of(EVERYBODY))
    assert house.bank.base.state_dict().keys() == house.base.state_dict().keys()
    inputs = {"input_ids": PROMPTS, "attention_mask": MASK, "position_ids": positions(MASK)}
    assert torch.equal(house.bank.base(**inputs).logits, house.base(**inputs).logits)


def test_training_mode_leaves_the_base_without_dropout(house: Household) -> None:
    house.bank.train()
    first = house.bank.forward_rows(PROMPTS, MASK, torch.tensor([-1, 0, 1])).logits
    second = house.bank.forward_rows(PROMPTS, MASK, torch.tensor([-1, 0, 1])).logits
    assert torch.equal(first, second)
    assert house.bank.training
    assert not house.bank.base.training
    house.bank.eval()
