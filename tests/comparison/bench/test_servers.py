import pytest
import torch

from comparison.bench.servers import Floor, mixed
from experts.soup import merged_update

PROMPTS = torch.tensor([[3, 9, 20, 41], [7, 7, 1, 60], [5, 4, 3, 2]])
NEXT = torch.tensor([[8], [30], [11]])
EXACT = {"atol": 1e-12, "rtol": 0.0}
NAMES = ["soup", "floor", "bank", "bank-pass", "bank+controller", "bank+gate", "peft-loop", "peft-mixed", "separate"]


def said(server):
    """After the prompts, and after one more token."""
    state = server.start(PROMPTS)
    return [server.step(state, tokens).logprobs for tokens in (PROMPTS, NEXT, NEXT)]


def test_there_is_a_server_for_every_method(servers):
    assert sorted(servers) == sorted(NAMES)


@pytest.mark.parametrize("rival", ["peft-loop", "peft-mixed", "separate"])
def test_other_ways_to_the_same_mixture_say_exactly_the_same(servers, rival):
    torch.testing.assert_close(said(servers[rival]), said(servers["bank"]), **EXACT)


@pytest.mark.parametrize("name", ["floor", "bank-pass"])
def test_bare_passes_answer_like_the_base(servers, material, name):
    base = material.base(PROMPTS).logits[:, -1].log_softmax(-1)
    torch.testing.assert_close(said(servers[name])[0], base, **EXACT)


def test_a_soup_is_one_merged_model(servers, material):
    bank = servers["bank"].mixture.bank
    weights = dict.fromkeys(bank.names, 1 / 3)
    updates = merged_update(bank, weights).items()
    state = {f"{name}.weight": material.base.get_submodule(name).weight + update for name, update in updates}
    logits = torch.func.functional_call(material.base, state, (PROMPTS,)).logits
    torch.testing.assert_close(said(servers["soup"])[0], logits[:, -1].log_softmax(-1), **EXACT)


def test_soup_base_bank_and_controller_all_differ(servers):
    first = [said(servers[name])[0] for name in ("soup", "floor", "bank", "bank+controller")]
    assert all((first[i] - first[j]).abs().max() > 1e-3 for i in range(4) for j in range(i))


@pytest.mark.parametrize("name", NAMES)
def test_one_request_widened_reads_on_like_several_equal_ones(servers, name):
    server, prompt = servers[name], PROMPTS[:1]
    narrow = server.start(prompt)
    server.step(narrow, prompt)
    wide, three = server.widen(narrow, 3), server.start(prompt.repeat(3, 1))
    server.step(three, prompt.repeat(3, 1))
    for tokens in (NEXT, PROMPTS[:, 1:2]):
        torch.testing.assert_close(server.step(wide, tokens).logprobs, server.step(three, tokens).logprobs, **EXACT)


@pytest.mark.parametrize("name", NAMES)
def test_widening_leaves_the_narrow_state_as_it_was(servers, name):
    server, prompt = servers[name], PROMPTS[:1]
    states = [server.start(prompt) for _ in range(2)]
    for state in states:
        server.step(state, prompt)
    wide = server.widen(states[0], 3)
    server.step(wide, NEXT)
    torch.testing.assert_close(*(server.step(state, NEXT[:1]).logprobs for state in states), **EXACT)


@pytest.mark.parametrize(("name", "rows"), [("soup", 1), ("floor", 4), ("bank", 4), ("peft-mixed", 4)])
def test_a_pass_reads_as_many_rows_as_the_server_says(servers, name, rows):
    server, widths = servers[name], []
    head = next(part for module in server.modules() for key, part in module.named_modules() if key.endswith("lm_head"))
    handle = head.register_forward_hook(lambda module, inputs, output: widths.append(output.shape[0]))
    server.step(server.start(PROMPTS), PROMPTS)
    handle.remove()
    assert server.rows == rows
    assert widths == [3 * rows]


def test_a_floor_has_a_row_for_the_base_and_each_expert(material):
    assert Floor("floor", material.base, "eager", experts=6).rows == 7


def test_the_uniform_mixture_weighs_experts_alike_and_knows_the_base():
    logits = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    base, one, other = logits.log_softmax(-1)
    expected = (base + 0.5 * (one - base) + 0.5 * (other - base)).log_softmax(-1)
    torch.testing.assert_close(mixed(logits), expected, **EXACT)


def test_the_gate_asks_the_experts_at_every_third_token(servers):
    server = servers["bank+gate"]
    state = server.start(PROMPTS)
    steps = [server.step(state, tokens) for tokens in (PROMPTS, *[NEXT] * 6)]
    assert [bool(step.log_weights.isfinite().all()) for step in steps] == [True, False, False, True, False, False, True]
    full = servers["bank+controller"]
    state = full.start(PROMPTS)
    wanted = [full.step(state, tokens).logprobs for tokens in (PROMPTS, *[NEXT] * 6)]
    for place in (0, 3, 6):
        torch.testing.assert_close(steps[place].logprobs, wanted[place], **EXACT)
