"""The laws of decoding on every family of models, through `Mixture.step`: in float64 token by token, and in bfloat16.

Every household has experts of unequal ranks and targets, one of them rank-stabilised; prompts are padded on the left,
and texts are longer than Gemma's sliding window. In bfloat16 a pass over other rows or fewer tokens rounds otherwise in
every layer, so distributions are compared by their total variation. The bound is a small part of what other experts
make: see `test_other_experts_are_far_away_in_half_precision`.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy

import pytest
import torch
from households import SHAPES, Household, mixture_of
from torch import Tensor

from decoding.sampling import Sampling
from experts.bank import ExpertBank
from experts.rows import Rows
from experts.soup import merged_adapter, merged_update
from mixture import Mixture

PROMPTS = torch.tensor([[0, 0, 0, 7, 8, 9], [0, 3, 4, 5, 6, 7], [11, 12, 13, 14, 15, 16]])
MASK = (PROMPTS > 0).long()
ASKED = torch.tensor([[1.0, 0.0, 0.3], [0.0, 0.6, 0.0], [0.7, 1.0, 0.4]])
LONGER = torch.cat([PROMPTS, torch.arange(18).view(3, 6) + 20], dim=1)  # longer than any sliding window
LONGER_MASK = torch.cat([MASK, torch.ones(3, 6, dtype=torch.long)], dim=1)
HALF = 0.05
"""The most that bfloat16 may move between two ways to the same distribution."""
SEVERAL = [
    Sampling(1.0, max_new_tokens=8),
    Sampling(0.0, max_new_tokens=10),
    Sampling(1.3, top_p=0.9, max_new_tokens=6),
]


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(params=SHAPES)
def exact(request: pytest.FixtureRequest, household: Callable[[str], Household]) -> Mixture:
    """A mixture of each family in float64."""
    return mixture_of(household(request.param).bank)


@pytest.fixture
def half(house: Household) -> Mixture:
    """A mixture of each family on a bfloat16 base."""
    return mixture_of(ExpertBank.load(deepcopy(house.base).bfloat16(), house.folders))


def said(mixture: Mixture, text: Tensor, mask: Tensor, asked: Tensor) -> Tensor:
    """The mixture's distributions after every token, in one pass (B, T, V)."""
    return mixture.mix(mixture.bank.read(text, mask, Rows.of(asked)), asked)[0]


def stepped(mixture: Mixture, text: Tensor, mask: Tensor, asked: Tensor, read: int) -> Tensor:
    """The same after a prompt of so many tokens and after each later one (B, T - read + 1, V), by `Mixture.step`."""
    state = mixture.start(mask[:, :read], asked)
    pieces = [text[:, :read], *(text[:, place : place + 1] for place in range(read, text.shape[1]))]
    return torch.stack([mixture.step(state, piece).logprobs for piece in pieces], dim=1)


def apart(one: Tensor, other: Tensor) -> float:
    """The largest total variation between two distributions of log-probabilities (..., V)."""
    return float((one.exp() - other.exp()).abs().sum(dim=-1).max()) / 2


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def test_requests_for_one_expert_each_decode_like_those_experts_under_generate(house: Household) -> None:
    """Law 1, in one batch in which everybody asks for somebody else; `test_bank` has it for each rule."""
    mixture = mixture_of(house.bank)
    spoken = mixture.rollout(PROMPTS, MASK, torch.eye(3), Sampling(0.0, max_new_tokens=8), []).tokens
    for row, name in enumerate(house.bank.names):
        prompt, mask = PROMPTS[row : row + 1], MASK[row : row + 1]
        expert = house.alone(name)
        alone = expert.generate(prompt, attention_mask=mask, do_sample=False, max_new_tokens=8, eos_token_id=2)[0, 6:]
        assert spoken[row, : len(alone)].tolist() == alone.tolist()
        assert not spoken[row, len(alone) :].any()


def test_a_request_draws_the_same_alone_and_beside_others(exact: Mixture) -> None:
    """Law 2: other preferences, other settings, other padding; one generator for each."""
    together = list(exact.emit(PROMPTS, MASK, ASKED, SEVERAL, generators(3)))
    for row, pads in enumerate((3, 1, 0)):
        own = (PROMPTS[[row], pads:], MASK[[row], pads:], ASKED[[row]])
        alone = exact.rollout(*own, SEVERAL[row], [torch.Generator().manual_seed(row)])
        assert [int(turn.tokens[row]) for turn in together if turn.running[row]] == alone.tokens[0].tolist()


def test_steps_say_what_one_full_pass_says(exact: Mixture) -> None:
    """Law 3."""
    full = said(exact, LONGER, LONGER_MASK, ASKED)
    steps = stepped(exact, LONGER, LONGER_MASK, ASKED, read=6)
    torch.testing.assert_close(steps, full[:, 5:], atol=1e-10, rtol=0)
    assert apart(steps[:, 0], steps[:, 1]) > 0.1


def test_a_step_is_a_distribution_that_weights_move(exact: Mixture) -> None:
    """Law 6: it sums to one, and who is asked matters where experts differ."""
    one = stepped(exact, PROMPTS, MASK, ASKED, read=6)
    torch.testing.assert_close(one.logsumexp(dim=-1), torch.zeros(3, 1).double(), atol=1e-12, rtol=0)
    assert apart(one, stepped(exact, PROMPTS, MASK, ASKED.roll(1, dims=1), read=6)) > 0.1


def test_one_expert_reads_in_half_precision_as_under_peft(house: Household, half: Mixture) -> None:
    """Laws 1 and 4 through the mixture."""
    steps = stepped(half, PROMPTS, MASK, torch.eye(3), read=6)[:, 0]
    for row, name in enumerate(house.bank.names):
        expert = house.alone(name).bfloat16()
        logits = expert(input_ids=PROMPTS[row : row + 1, 3 * (row == 0) + (row == 1) :]).logits[:, -1]
        assert apart(steps[row : row + 1], logits.float().log_softmax(dim=-1)) < HALF


def test_a_request_reads_nearly_the_same_alone_in_half_precision(half: Mixture) -> None:
    """Law 2."""
    together = said(half, PROMPTS, MASK, ASKED)
    for row, pads in enumerate((3, 1, 0)):
        alone = said(half, PROMPTS[[row], pads:], MASK[[row], pads:], ASKED[[row]])
        assert apart(alone[0], together[row, pads:]) < HALF


def test_steps_say_nearly_what_one_full_pass_says_in_half_precision(half: Mixture) -> None:
    """Law 3."""
    full = said(half, LONGER, LONGER_MASK, ASKED)
    steps = stepped(half, LONGER, LONGER_MASK, ASKED, read=6)
    assert apart(steps, full[:, 5:]) < HALF
    torch.testing.assert_close(steps.logsumexp(dim=-1), torch.zeros(3, 7), atol=1e-5, rtol=0)


def test_a_soup_reads_nearly_like_its_update_in_half_precision(house: Household, half: Mixture) -> None:
    """Law 7: the soup as an expert, beside a base whose weights it was added to and rounded."""
    weights = dict.fromkeys(house.bank.names, 1 / 3)
    soup = ExpertBank(half.bank.base)
    soup.add("soup", *merged_adapter(half.bank, weights))
    merged = deepcopy(house.base)
    for module, update in merged_update(house.bank, weights).items():
        merged.get_submodule(module).weight += update
    text = torch.arange(3, 9).unsqueeze(0)
    exact = merged(text).logits.log_softmax(dim=-1)
    mixed = soup.forward_rows(text, torch.ones_like(text), torch.tensor([0])).logits
    assert apart(mixed.double().log_softmax(dim=-1), exact) < HALF


def test_other_experts_are_far_away_in_half_precision(half: Mixture) -> None:
    """What the bounds above are small against."""
    steps = stepped(half, LONGER, LONGER_MASK, torch.eye(3), read=6)
    others = stepped(half, LONGER, LONGER_MASK, torch.eye(3).roll(1, dims=0), read=6)
    assert apart(steps, others) > 10 * HALF
