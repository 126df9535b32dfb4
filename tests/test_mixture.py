from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from tiny_bundle import DIMENSIONS, TEXTS, rounded, tiny_bank, tiny_base, tiny_controller, tiny_tokenizer

from decoding.detokenise import Detokeniser
from decoding.divergence import divergence
from decoding.loop import Emitted
from decoding.rules import RULES, anchored, rule_named, uniform_log_weights
from decoding.sampling import Sampling
from decoding.step import Step
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
    weights = torch.tensor([[0.5, 0.0, 0.15], [0.0, 0.0, 1.0], [1 / 3] * 3], dtype=torch.float64)
    torch.testing.assert_close(step.log_weights.exp(), weights)
    expected = rule_named("anchored")(step.base_logprobs, step.expert_logprobs, uniform_log_weights(asked.double()))
    torch.testing.assert_close(step.logprobs, expected)


def test_whoever_prefers_nothing_gets_the_uniform_mixture_whatever_the_controller_says(mixture: Mixture) -> None:
    asked = torch.stack([mixture.asked(None), mixture.asked(Preference(weights={"friendly": 1.0, "concise": 1.0}))])
    input_ids, mask = mixture.encode(CONVERSATIONS[:1] * 2)
    step = mixture.step(mixture.start(mask, asked), input_ids)
    torch.testing.assert_close(step.log_weights[0].exp(), torch.full((3,), 1 / 3, dtype=torch.float64))
    assert not torch.isclose(step.log_weights[1, 0], step.log_weights[1, 2])
    mixture.dimensions = tuple(replace(dimension, opposite=None) for dimension in mixture.dimensions)
    steered = mixture.step(mixture.start(mask, asked), input_ids)  # without poles to ask for everything is a wish
    assert not torch.isclose(steered.log_weights[0, 0], steered.log_weights[0, 2])


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


def test_bias_and_stop_texts_mean_what_they_mean_under_generate(mixture: Mixture, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    mixture.pcm, mixture.rule = None, "logit"
    mixture.bank.save("concise", tmp_path)
    expert = peft.PeftModel.from_pretrained(rounded(tiny_base(mixture.tokenizer)).double(), tmp_path).double()
    prompts, mask = mixture.encode(CONVERSATIONS[:1])
    word = mixture.tokenizer.encode("volcano", add_special_tokens=False)
    ways = {"sequence_bias": [[word, 2.0], [[70], -3.0], [[85], 3.5]], "stop_strings": ["never", "r),"]}
    expected = expert.generate(
        input_ids=prompts, attention_mask=mask, do_sample=False, max_new_tokens=20, tokenizer=mixture.tokenizer, **ways
    )
    bias: dict[int | str, float] = {"volcano": 2.0, 70: -3.0, 85: 3.5}
    sampling = Sampling(0.0, max_new_tokens=20, logit_bias=bias, stop=("never", "r),"))
    asked = torch.tensor([[0.0, 0.0, 1.0]])
    tokens = mixture.rollout(prompts, mask, asked, sampling, []).tokens
    assert tokens.tolist() == expected[:, prompts.shape[1] :].tolist()
    plain = mixture.rollout(prompts, mask, asked, Sampling(0.0, max_new_tokens=20), []).tokens
    assert tokens.shape[1] < 20 == plain.shape[1]
    assert tokens.tolist() != plain[:, : tokens.shape[1]].tolist()


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


WRITTEN = ("ar", "end", "nd", "o", "d`")
"""What the second request writes by itself at temperature 1, in this order or inside of it."""
OWN = [
    Sampling(1.0, max_new_tokens=12),
    Sampling(0.0, max_new_tokens=5, repetition_penalty=1.4),
    Sampling(1.5, top_k=20, max_new_tokens=30, min_p=0.02, logit_bias={"volcano": 2.0, 70: -1.0}),
]


def test_a_request_decodes_the_same_alone_and_beside_requests_with_other_settings(mixture: Mixture) -> None:
    samplings = [OWN[0], replace(OWN[0], max_new_tokens=24, stop=WRITTEN[:2]), OWN[1]]
    together = mixture.generate(CONVERSATIONS, PREFERENCES, samplings, SEEDS)
    for row, response in enumerate(together):
        (alone,) = mixture.generate([CONVERSATIONS[row]], [PREFERENCES[row]], samplings[row], [SEEDS[row]])
        assert [token.id for token in response.tokens] == [token.id for token in alone.tokens]
        assert (response.text, response.finish_reason) == (alone.text, alone.finish_reason)
    assert [one.finish_reason for one in together] == ["length", "stop", "length"]
    assert [len(one.tokens) for one in together[::2]] == [12, 5]
    hot = [OWN[2], OWN[1], OWN[0]]
    assert mixture.generate(CONVERSATIONS, PREFERENCES, hot, SEEDS)[0].text == "".join(pieces(mixture, 0, OWN[2]))


def test_every_setting_of_a_request_matters(mixture: Mixture) -> None:
    plain = Sampling(0.9, max_new_tokens=24)
    before = token_ids(mixture, [1], plain)
    for setting in ({"min_p": 0.3}, {"repetition_penalty": 0.05}, {"logit_bias": {70: 9.0}}):
        assert token_ids(mixture, [1], replace(plain, **setting)) != before, setting  # type: ignore[arg-type]


def test_a_penalty_does_not_hear_of_padding(mixture: Mixture) -> None:
    """In a batch the short prompt is padded: were that counted, the padding token would be penalised beside others."""
    prompts, mask = mixture.encode(CONVERSATIONS[1:])
    asked = torch.ones(2, 3)
    sampling = Sampling(0.0, max_new_tokens=1, repetition_penalty=3.0, logit_bias={mixture.tokenizer.pad_token_id: 4.0})
    scores = mixture.rollout(prompts, mask, asked, sampling, []).tokens
    assert mask[0, 0] == 0
    alone = mixture.rollout(*mixture.encode(CONVERSATIONS[1:2]), asked[:1], sampling, []).tokens
    assert scores[0].tolist() == alone[0].tolist() == [mixture.tokenizer.pad_token_id]


def test_a_request_that_waits_beyond_its_window_changes_nothing(mixture: Mixture) -> None:
    """Short and long prompt have room for different lengths; who has ended must not be read beyond the window."""
    full = [[{"role": "user", "content": TEXTS[0]}], CONVERSATIONS[1]]
    lengths = [mixture.window - int(mixture.encode([one])[1].sum()) for one in full]
    samplings = [Sampling(0.0, max_new_tokens=length) for length in lengths]
    assert lengths[1] - lengths[0] > 5
    prompts, mask = mixture.encode(full)
    emitted = mixture.emit(prompts, mask, torch.ones(2, 3), samplings, [])
    rooms: list[Emitted[Step]] = list(emitted)
    alone = [mixture.generate([one], [None], sampling, [0])[0] for one, sampling in zip(full, samplings, strict=True)]
    for row, response in enumerate(alone):
        ids = [int(turn.tokens[row]) for turn in rooms if turn.running[row]]
        assert ids == [token.id for token in response.tokens]
    state = mixture.start(mask, torch.ones(2, 3), room=mask.sum(-1) + torch.tensor([1, 3]))
    mixture.step(state, prompts)
    for _ in range(3):
        mixture.step(state, prompts[:, -1:])
    assert (state.mask.sum(-1) - mask.sum(-1)).tolist() == [1, 3]


def pieces(mixture: Mixture, row: int, sampling: Sampling) -> list[str]:
    turns = mixture.stream([CONVERSATIONS[row]], [PREFERENCES[row]], sampling, [SEEDS[row]])
    return [token.text for (token,) in turns if token is not None]


@pytest.mark.parametrize("stop", [*WRITTEN, "\N{REPLACEMENT CHARACTER}"])
def test_a_stop_text_is_not_shown_not_even_its_beginning(mixture: Mixture, stop: str) -> None:
    free = Sampling(1.0, max_new_tokens=24)
    whole = "".join(pieces(mixture, 1, free))
    assert stop in whole
    streamed = pieces(mixture, 1, replace(free, stop=("never", stop)))
    assert "".join(streamed) == whole[: whole.find(stop)]
    (response,) = mixture.generate(CONVERSATIONS[1:2], PREFERENCES[1:2], replace(free, stop=(stop,)), SEEDS[1:2])
    assert (response.text, response.finish_reason) == ("".join(streamed), "stop")
    assert [token.ends for token in response.tokens] == [False] * (len(response.tokens) - 1) + [True]


def test_a_stop_text_ends_the_computing_too(mixture: Mixture) -> None:
    prompts, mask = mixture.encode(CONVERSATIONS[1:2])
    sampling = Sampling(1.0, max_new_tokens=24, stop=WRITTEN[:1])
    generator = torch.Generator().manual_seed(SEEDS[1])
    rollout = mixture.rollout(prompts, mask, torch.ones(1, 3), sampling, [generator])
    assert rollout.tokens.shape[1] == len(pieces(mixture, 1, sampling)) < 24


def test_a_beginning_that_becomes_no_stop_text_is_shown_after_all(mixture: Mixture) -> None:
    free = Sampling(1.0, max_new_tokens=24)
    whole = "".join(pieces(mixture, 1, free))
    streamed = pieces(mixture, 1, replace(free, stop=(whole[-2:] + "never", whole[3:6] + "\u2603")))
    assert "".join(streamed) == whole


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


def test_a_rule_may_be_any_function(mixture: Mixture) -> None:
    named = token_ids(mixture, [0, 1], Sampling(1.0, max_new_tokens=8))
    mixture.rule = lambda base, experts, log_weights: anchored(base, experts, log_weights)
    assert mixture.rule_name is None
    assert token_ids(mixture, [0, 1], Sampling(1.0, max_new_tokens=8)) == named
    mixture.rule = lambda base, experts, log_weights: base
    assert token_ids(mixture, [0, 1], Sampling(1.0, max_new_tokens=8)) != named


def test_a_rule_that_gives_no_distribution_is_refused(mixture: Mixture) -> None:
    mixture.rule = lambda base, experts, log_weights: base + 1
    with pytest.raises(ValueError, match="must give probabilities that sum to one, got a log-sum of 1"):
        token_ids(mixture, [0], Sampling(0.0, max_new_tokens=2))
    mixture.rule = lambda base, experts, log_weights: experts
    with pytest.raises(ValueError, match=r"of every token, \(1, 330\), got \(1, 3, 330\)"):
        token_ids(mixture, [0], Sampling(0.0, max_new_tokens=2))


def test_a_bundle_holds_only_a_rule_with_a_name(mixture: Mixture, tmp_path: Path) -> None:
    mixture.rule = lambda base, experts, log_weights: base
    with pytest.raises(ValueError, match="a bundle's rule must be one of probability, logit, anchored, got the func"):
        mixture.save(tmp_path / "bundle", {})
    assert list(tmp_path.iterdir()) == []


def test_a_prompt_that_leaves_no_room_for_its_response_is_refused(mixture: Mixture) -> None:
    long = [[{"role": "user", "content": " ".join(TEXTS * 4)}]]
    with pytest.raises(ValueError, match="window of 96 tokens"):
        mixture.generate(long, [None], Sampling(max_new_tokens=4), [0])


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def test_no_request_lifts_the_cap_of_its_mixture(mixture: Mixture) -> None:
    """Adversarial wishes: all at once, one alone, next to nothing; and a controller whose gates are all wide open."""
    eager = tiny_controller(32).double()
    torch.nn.init.constant_(eager.score.bias, 50.0)
    prompts, mask = mixture.encode(CONVERSATIONS)
    asked = torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0], [1e-6, 0.0, 1.0]])
    for rule, pcm in product(RULES, (None, eager)):
        mixture.rule, mixture.pcm, mixture.cap = rule, pcm, None
        free = mixture.step(mixture.start(mask, asked), prompts)
        mixture.cap = 0.05
        step = mixture.step(mixture.start(mask, asked), prompts)
        assert float(divergence(free.logprobs, free.base_logprobs).min()) > 0.05
        assert float(divergence(step.logprobs, step.base_logprobs).max()) <= 0.05 + 1e-9
    with torch.no_grad():
        reading = mixture.read(prompts, mask, asked)
        assert float(divergence(mixture.mix(reading, asked)[0], reading.base.log_softmax(-1)).max()) <= 0.05 + 1e-9
    with pytest.raises(ValueError, match="a cap must be a finite number of nats"):
        replace(mixture, cap=-0.1)


def test_a_cap_can_be_measured_from_an_expert_that_nobody_asks_for(mixture: Mixture) -> None:
    prompts, mask = mixture.encode(CONVERSATIONS)
    asked = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1e-6, 0.0, 0.0]])
    everybody = mixture.step(mixture.start(mask, torch.ones_like(asked)), prompts).expert_logprobs
    safe = everybody[:, 1]  # (B, V), what the second expert says to each request
    for rule in RULES:
        free = replace(mixture, rule=rule).step(mixture.start(mask, asked), prompts)
        bounded = replace(mixture, rule=rule, cap=0.02, safe=mixture.names[1])
        state = bounded.start(mask, asked)
        step = bounded.step(state, prompts)
        reading = bounded.read(prompts, mask, asked)
        assert float(divergence(free.logprobs, safe).min()) > 0.02
        assert float(divergence(step.logprobs, safe).max()) <= 0.02 + 1e-9
        torch.testing.assert_close(bounded.mix(reading, asked)[0][:, -1], step.logprobs, rtol=0, atol=1e-9)
        assert step.log_weights[:, 1].isneginf().all()  # it reads, and is not mixed in
        nearest = replace(bounded, cap=0.0).step(bounded.start(mask, asked), prompts)
        torch.testing.assert_close(nearest.logprobs, safe, rtol=0, atol=1e-9)


def test_a_safe_expert_is_one_of_the_experts_and_bounds_something(mixture: Mixture) -> None:
    for cap, safe in ((0.1, "nobody"), (None, mixture.names[0])):
        with pytest.raises(ValueError, match="safe must be one of"):
            replace(mixture, cap=cap, safe=safe)
