import pytest
import torch
from tiny_exam import CONFIG, END, PAD, tiny_base, trained_looking

from experts.bank import ExpertBank
from experts.prompts import pad_left
from experts.rollout import (
    base_logprobs,
    inverse_sample,
    reread,
    sample_by_length,
    sample_responses,
    shorter_prompts,
)


@pytest.fixture(scope="module")
def bank():
    bank = ExpertBank(tiny_base())
    for name in ("ant", "bee"):
        bank.add(name, CONFIG)
    return trained_looking(bank)


def sampled(bank, share=0.125, copies=2):
    generator = torch.Generator().manual_seed(0)
    rows = 3 * copies
    ids, mask = pad_left([torch.randint(3, 40, (2 + row % 3,), generator=generator) for row in range(rows)], PAD)
    experts = torch.tensor([-1, 0, 1]).repeat_interleave(copies)
    budgets = torch.tensor([3, 12, 12, 12, 12, 5]).repeat(copies)[:rows]
    uniforms = torch.rand(rows, 12, generator=generator, dtype=torch.float64)
    return ids, mask, experts, sample_responses(bank, ids, mask, experts, budgets, uniforms, END, PAD, share)


def test_inverse_sampling_reads_the_cumulative_distribution():
    logprobs = torch.tensor([0.2, 0.0, 0.5, 0.3]).log().expand(5, 4)
    uniforms = torch.tensor([0.0, 0.19, 0.2, 0.69, 0.999])
    assert inverse_sample(logprobs, uniforms).tolist() == [0, 0, 2, 2, 3]


def test_inverse_sampling_never_chooses_what_has_no_probability():
    logprobs = torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0]]).log().expand(3, 5)
    assert inverse_sample(logprobs, torch.tensor([0.0, 0.5, 1.0 - 2**-24])).tolist() == [1, 3, 3]


def test_a_response_does_not_depend_on_when_finished_rows_are_dropped(bank):
    never, at_once = sampled(bank, share=2.0, copies=20)[3], sampled(bank, share=0.0, copies=20)[3]
    assert torch.equal(never.ended, at_once.ended)
    assert torch.equal(never.tokens, at_once.tokens)
    torch.testing.assert_close(never.logprobs, at_once.logprobs)
    torch.testing.assert_close(never.hidden * never.mask[..., None], at_once.hidden * at_once.mask[..., None])


def test_a_response_does_not_depend_on_the_length_of_other_prompts(bank):
    generator = torch.Generator().manual_seed(0)
    prompts = [torch.randint(3, 40, (length,), generator=generator) for length in (2, 30, 3, 2, 28, 3)]
    ids, mask = pad_left(prompts, PAD)
    uniforms = torch.rand(6, 9, generator=generator, dtype=torch.float64)
    given = ids, mask, torch.tensor([-1, -1, 0, 0, 1, 1]), torch.tensor([9, 9, 4, 9, 3, 9]), uniforms, END, PAD
    apart, together = sample_by_length(bank, *given), sample_responses(bank, *given)
    for first, second in zip(apart, together, strict=True):
        torch.testing.assert_close(first, second)


def test_short_prompts_are_read_apart_only_where_much_padding_is_saved():
    assert shorter_prompts(torch.tensor([9, 80, 10, 11, 90])).tolist() == [True, False, True, True, False]
    assert shorter_prompts(torch.tensor([9, 12, 10])).all()
    assert shorter_prompts(torch.tensor([7])).all()


def test_responses_end_at_their_end_or_at_their_budget(bank):
    *_, responses = sampled(bank)
    lengths = responses.mask.sum(-1).long()
    assert lengths[0] <= 3
    assert lengths[5] <= 5
    last = responses.tokens[torch.arange(6), lengths - 1]
    assert torch.equal(last == END, responses.ended)
    assert (responses.tokens[responses.mask == 0] == PAD).all()
    assert responses.ended.any()
    assert not responses.ended.all()


def test_sampled_log_probabilities_are_those_of_reading_the_response_again(bank):
    ids, mask, experts, responses = sampled(bank)
    logits, hidden = reread(bank, ids, mask, responses.tokens, responses.mask, experts)
    again = logits.log_softmax(-1).gather(-1, responses.tokens[..., None])[..., 0] * responses.mask
    torch.testing.assert_close(again, responses.logprobs)
    torch.testing.assert_close(hidden * responses.mask[..., None], responses.hidden * responses.mask[..., None])


def test_base_log_probabilities_are_those_of_the_base_alone(bank):
    ids, mask, _, responses = sampled(bank)
    batched = base_logprobs(bank, ids, mask, responses.tokens, responses.mask, rows_at_once=4)
    for row in range(6):
        text = torch.cat([ids[row][mask[row].bool()], responses.tokens[row][responses.mask[row].bool()]])
        alone = bank.base(text[None]).logits[0, :-1].log_softmax(-1).gather(-1, text[1:, None])[:, 0]
        length = int(responses.mask[row].sum())
        torch.testing.assert_close(batched[row, :length], alone[-length:])
