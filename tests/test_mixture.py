from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from tiny_bundle import DIMENSIONS, TEXTS, rounded, tiny_bank, tiny_base, tiny_tokenizer

from decoding.detokenise import Detokeniser
from decoding.rules import RULES, rule_named, uniform_log_weights
from decoding.sampling import Sampling
from experts.probe import refuse_silent_experts
from experts.rows import Rows
from mixture import Mixture
from pcm.preference import Preference

CONVERSATIONS = [
    [{"role": "user", "content": content}] for content in ("What is a volcano?", "Hi", "é 🙂 and a longer question")
]
PREFERENCES = [Preference(weights={"friendly": 1.0}), None, Preference(weights={"friendly": -0.5, "concise": 1.0})]
SEEDS = [3, 4, 5]


def token_ids(mixture: Mixture, rows: Sequence[int], sampling: Sampling) -> list[list[int]]:
    responses = mixture.generate(
        [CONVERSATIONS[row] for row in rows],
        [PREFERENCES[row] for row in rows],
        sampling,
        [SEEDS[row] for row in rows],
    )
    return [[token.id for token in response.tokens] for response in responses]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_request_decodes_the_same_alone_and_beside_requests_with_other_preferences(
    mixture: Mixture, rule: str, temperature: float
) -> None:
    mixture.rule = rule
    sampling = Sampling(temperature, max_new_tokens=12)
    together = token_ids(mixture, [0, 1, 2], sampling)
    assert together == [token_ids(mixture, [row], sampling)[0] for row in range(3)]
    assert len({tuple(ids) for ids in together}) == 3


def test_a_request_decodes_the_same_in_another_place_of_the_batch(mixture: Mixture) -> None:
    sampling = Sampling(1.0, max_new_tokens=12)
    assert token_ids(mixture, [2, 0], sampling) == token_ids(mixture, [0, 2], sampling)[::-1]


@pytest.mark.parametrize("controlled", [True, False])
def test_reading_step_by_step_equals_one_full_reading(mixture: Mixture, controlled: bool) -> None:
    mixture.pcm = mixture.pcm if controlled else None
    prompts, mask = mixture.encode(CONVERSATIONS)
    asked = torch.stack([mixture.asked(preference) for preference in PREFERENCES])
    rollout = mixture.rollout(prompts, mask, asked, Sampling(max_new_tokens=8), generators(3))
    everything = torch.cat([prompts, rollout.tokens], dim=-1)
    reading = mixture.bank.read(everything, torch.cat([mask, rollout.mask], dim=-1), Rows.of(asked))
    logprobs, _ = mixture.mix(reading, asked)
    forced = logprobs[:, prompts.shape[1] - 1 : -1].gather(-1, rollout.tokens.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(forced, rollout.logprobs, atol=1e-9, rtol=0)


def test_without_a_controller_the_mixture_is_uniform_over_what_is_asked(mixture: Mixture) -> None:
    mixture.pcm = None
    prompts, mask = mixture.encode(CONVERSATIONS)
    asked = torch.tensor([[1.0, 0.0, 0.3], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    step = mixture.step(mixture.start(mask, asked), prompts)
    weights = torch.tensor([[0.5, 0.0, 0.5], [0.0, 0.0, 1.0], [1 / 3] * 3], dtype=torch.float64)
    torch.testing.assert_close(step.log_weights.exp(), weights)
    expected = rule_named("anchored")(step.base_logprobs, step.expert_logprobs, uniform_log_weights(asked.double()))
    torch.testing.assert_close(step.logprobs, expected)


def test_what_is_not_asked_gets_no_weight_and_no_row(mixture: Mixture) -> None:
    prompts, mask = mixture.encode(CONVERSATIONS[:1])
    state = mixture.start(mask, torch.tensor([[0.7, 0.0, 0.0]]))
    step = mixture.step(state, prompts)
    assert state.rows.experts.tolist() == [-1, 0]
    assert step.log_weights.isneginf().tolist() == [[False, True, True]]


@pytest.mark.parametrize("rule", RULES)
def test_one_hot_weights_decode_exactly_like_that_expert_under_generate(
    mixture: Mixture, rule: str, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft")
    mixture.pcm, mixture.rule = None, rule
    mixture.bank.save("concise", tmp_path)
    base = rounded(tiny_base(mixture.tokenizer)).double()
    expert = peft.PeftModel.from_pretrained(base, tmp_path).double()
    prompts, mask = mixture.encode(CONVERSATIONS[:1])
    expected = expert.generate(input_ids=prompts, attention_mask=mask, do_sample=False, max_new_tokens=12)
    asked = torch.tensor([[0.0, 0.0, 1.0]])
    rollout = mixture.rollout(prompts, mask, asked, Sampling(0.0, max_new_tokens=12), generators(1))
    assert rollout.tokens.tolist() == expected[:, prompts.shape[1] :].tolist()


def test_an_understood_preference_asks_for_the_same_as_the_one_it_came_from(mixture: Mixture) -> None:
    for preference in PREFERENCES:
        understood = Preference(weights=mixture.understood(preference))
        assert mixture.asked(understood).tolist() == mixture.asked(preference).tolist()


def test_a_response_stops_at_an_end_token_and_leaves_it_out_of_the_text(mixture: Mixture) -> None:
    sampling = Sampling(0.0, max_new_tokens=12)
    (cut,) = mixture.generate(CONVERSATIONS[:1], PREFERENCES[:1], sampling, [0])
    assert (cut.finish_reason, len(cut.tokens), cut.tokens[-1].ends) == ("length", 12, False)
    end = cut.tokens[-1].id
    first = [token.id for token in cut.tokens].index(end)
    mixture.bank.base.generation_config.eos_token_id = [mixture.tokenizer.eos_token_id, end]
    try:
        (stopped,) = mixture.generate(CONVERSATIONS[:1], PREFERENCES[:1], sampling, [0])
    finally:
        mixture.bank.base.generation_config.eos_token_id = mixture.tokenizer.eos_token_id
    assert (stopped.finish_reason, len(stopped.tokens), stopped.tokens[-1].ends) == ("stop", first + 1, True)
    detokeniser = Detokeniser(mixture.tokenizer)
    pieces = [detokeniser.add(token.id) for token in stopped.tokens[:-1]]
    assert stopped.text == "".join(pieces) + detokeniser.finish()


def test_a_response_that_is_cut_inside_a_character_holds_nothing_back(mixture: Mixture) -> None:
    for length in range(1, 7):
        (cut,) = mixture.generate(CONVERSATIONS[:1], PREFERENCES[:1], Sampling(0.0, max_new_tokens=length), [0])
        detokeniser = Detokeniser(mixture.tokenizer)
        pieces = [detokeniser.add(token.id) for token in cut.tokens]
        assert cut.text == "".join(pieces) + detokeniser.finish()


def test_rows_that_stopped_emit_padding_that_does_not_count(mixture: Mixture) -> None:
    prompts, mask = mixture.encode(CONVERSATIONS)
    asked = torch.ones(3, 3)
    free = mixture.rollout(prompts, mask, asked, Sampling(0.0, max_new_tokens=6), generators(3))
    mixture.bank.base.generation_config.eos_token_id = int(free.tokens[0, 1])
    try:
        rollout = mixture.rollout(prompts, mask, asked, Sampling(0.0, max_new_tokens=6), generators(3))
    finally:
        mixture.bank.base.generation_config.eos_token_id = mixture.tokenizer.eos_token_id
    length = 1 + free.tokens[0].tolist().index(int(free.tokens[0, 1]))
    assert rollout.mask[0].tolist() == [1] * length + [0] * (6 - length)
    assert rollout.tokens[0, length:].tolist() == [mixture.tokenizer.pad_token_id] * (6 - length)
    assert rollout.logprobs[0, length:].tolist() == [0.0] * (6 - length)


def test_no_text_makes_the_reader_ask_for_everything_alike(mixture: Mixture) -> None:
    assert mixture.understood(None) == {"friendly": 1.0, "unfriendly": 1.0, "concise": 1.0}


def test_an_expert_that_gives_no_number_is_named(mixture: Mixture) -> None:
    prompts, mask = mixture.encode(CONVERSATIONS[:1])
    parameter = mixture.bank.parameters_of("friendly")[0]
    before = parameter.detach().clone()
    with torch.no_grad():
        parameter.fill_(torch.nan)
    try:
        with pytest.raises(ValueError, match=r"must be numbers, got NaN from friendly$"):
            mixture.step(mixture.start(mask, torch.ones(1, 3)), prompts)
        with pytest.raises(ValueError, match="'friendly' must give finite logits"):
            refuse_silent_experts(mixture.bank)
    finally:
        with torch.no_grad():
            parameter.copy_(before)
    refuse_silent_experts(mixture.bank)


def test_an_expert_that_changes_no_logit_is_refused(mixture: Mixture) -> None:
    bank = tiny_bank(tiny_base(mixture.tokenizer))
    with torch.no_grad():
        for parameter in bank.parameters_of("friendly")[1::2]:
            parameter.zero_()
    with pytest.raises(ValueError, match="'friendly' must change the base's logits"):
        refuse_silent_experts(bank)


def test_parts_that_do_not_belong_together_are_refused(mixture: Mixture, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must be the dimensions .* in order"):
        Mixture(mixture.bank, mixture.tokenizer, DIMENSIONS[::-1], "anchored")
    with pytest.raises(ValueError, match="a mixing rule must be one of"):
        Mixture(mixture.bank, mixture.tokenizer, DIMENSIONS, "average")
    larger = tiny_tokenizer(tmp_path)
    larger.add_tokens(["<new>"])
    with pytest.raises(ValueError, match="must fit the base's 330 tokens, got one of 331"):
        Mixture(mixture.bank, larger, DIMENSIONS, "anchored")


def test_a_prompt_that_leaves_no_room_for_its_response_is_refused(mixture: Mixture) -> None:
    long = [[{"role": "user", "content": " ".join(TEXTS * 4)}]]
    with pytest.raises(ValueError, match="window of 96 tokens"):
        mixture.generate(long, [None], Sampling(max_new_tokens=4), [0])


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]
