from dataclasses import replace
from itertools import product
from pathlib import Path
from threading import Thread

import pytest
import torch
from tiny_bundle import rounded, tiny_base
from torch import Tensor
from torch.nn import functional
from transformers import MaxTimeCriteria, StoppingCriteria, StoppingCriteriaList, TextIteratorStreamer, TextStreamer

from causal_lm import MixtureForCausalLM
from decoding.rules import RULES
from decoding.sampling import Sampling
from experts.rows import Rows
from mixture import Mixture
from pcm.preference import Preference

CONVERSATIONS = [
    [{"role": "user", "content": content}] for content in ("What is a volcano?", "Hi", "é 🙂 and a longer question")
]
PREFERENCES = [Preference(weights={"friendly": 1.0}), None, Preference(weights={"friendly": -0.5, "concise": 1.0})]


def responses(face: MixtureForCausalLM, rows: list[int], **options: object) -> list[list[int]]:
    input_ids, mask = face.mixture.encode([CONVERSATIONS[row] for row in rows])
    sequences = face.generate(input_ids, attention_mask=mask, **({"do_sample": False, "max_new_tokens": 8} | options))
    return sequences[:, input_ids.shape[1] :].tolist()


@pytest.mark.parametrize("rule", RULES)
def test_greedy_generate_gives_the_mixtures_own_tokens(mixture: Mixture, rule: str) -> None:
    mixture.rule = rule
    own = mixture.generate(CONVERSATIONS, PREFERENCES, Sampling(0.0, max_new_tokens=12), [0, 0, 0])
    face = MixtureForCausalLM(mixture, PREFERENCES)
    assert responses(face, [0, 1, 2], max_new_tokens=12) == [[token.id for token in one.tokens] for one in own]


def test_generate_stops_where_the_mixture_stops_and_pads_after_that(mixture: Mixture) -> None:
    free = responses(MixtureForCausalLM(mixture, PREFERENCES), [0, 1, 2])
    mixture.bank.base.generation_config.eos_token_id = free[0][2]
    try:
        stopped = responses(MixtureForCausalLM(mixture, PREFERENCES), [0, 1, 2])
    finally:
        mixture.bank.base.generation_config.eos_token_id = mixture.tokenizer.eos_token_id
    assert stopped == [free[0][:3] + [mixture.tokenizer.pad_token_id] * 5, *free[1:]]


@pytest.mark.parametrize(
    "options",
    [{"use_cache": False}, {"prefill_chunk_size": 7}, {"prefill_chunk_size": 1}],
    ids=["no cache", "a prompt in pieces", "a prompt token by token"],
)
def test_how_the_past_is_kept_changes_no_token(mixture: Mixture, options: dict[str, object]) -> None:
    face = MixtureForCausalLM(mixture, PREFERENCES)
    assert responses(face, [0, 1, 2], **options) == responses(face, [0, 1, 2])


def test_guessing_ahead_from_the_prompt_changes_no_token(mixture: Mixture) -> None:
    face = MixtureForCausalLM(mixture, PREFERENCES[2])
    assert responses(face, [2], prompt_lookup_num_tokens=3) == responses(face, [2])


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}], ids=["greedy", "beams"])
def test_a_request_in_a_padded_batch_decodes_as_if_alone(mixture: Mixture, options: dict[str, object]) -> None:
    together = responses(MixtureForCausalLM(mixture, PREFERENCES), [0, 1, 2], **options)
    alone = [responses(MixtureForCausalLM(mixture, PREFERENCES[row]), [row], **options)[0] for row in range(3)]
    assert together == alone


def test_beams_keep_to_the_cap_of_an_expert_that_nobody_asks_for(mixture: Mixture) -> None:
    """It reads every request, also after beams have changed places."""
    bounded = replace(mixture, cap=1e-9, safe="unfriendly")
    near = MixtureForCausalLM(replace(mixture, pcm=None), Preference(weights={"unfriendly": 1.0}))
    face = MixtureForCausalLM(bounded, Preference(weights={"friendly": 1.0}))
    for options in ({}, {"num_beams": 3}):
        assert responses(face, [0, 1, 2], **options) == responses(near, [0, 1, 2], **options)


def test_one_preference_serves_every_row(mixture: Mixture) -> None:
    one = MixtureForCausalLM(mixture, PREFERENCES[2])
    each = MixtureForCausalLM(mixture, [PREFERENCES[2]] * 3)
    assert responses(one, [0, 1, 2]) == responses(each, [0, 1, 2])


def test_what_is_asked_of_one_call_goes_before_what_is_asked_of_the_face(mixture: Mixture) -> None:
    asked = torch.stack([mixture.asked(preference) for preference in PREFERENCES])
    face = MixtureForCausalLM(mixture, None)
    assert responses(face, [0, 1, 2], asked=asked) == responses(MixtureForCausalLM(mixture, asked), [0, 1, 2])
    assert responses(face, [0, 1, 2], asked=asked) != responses(face, [0, 1, 2])


def test_one_hot_weights_generate_exactly_like_that_expert_with_beams_too(mixture: Mixture, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    mixture.pcm = None
    mixture.bank.save("concise", tmp_path)
    expert = peft.PeftModel.from_pretrained(rounded(tiny_base(mixture.tokenizer)).double(), tmp_path).double()
    input_ids, mask = mixture.encode(CONVERSATIONS)
    face = MixtureForCausalLM(mixture, Preference(weights={"concise": 1.0}))
    for beams in (1, 3):
        options = {"do_sample": False, "num_beams": beams, "max_new_tokens": 8, "attention_mask": mask}
        assert face.generate(input_ids, **options).tolist() == expert.generate(input_ids=input_ids, **options).tolist()


@torch.no_grad()
def score(face: MixtureForCausalLM, prompt: Tensor, mask: Tensor, response: tuple[int, ...]) -> float:
    """The log-probability of a whole response, in nats, from one full reading."""
    tokens = torch.tensor([response])
    everything = torch.cat([prompt, tokens], dim=-1)
    logprobs = face(everything, torch.cat([mask, torch.ones_like(tokens)], dim=-1)).logits[:, prompt.shape[1] - 1 : -1]
    return float(logprobs.gather(-1, tokens.unsqueeze(-1)).sum())


def test_enough_beams_find_the_best_of_all_sequences(mixture: Mixture) -> None:
    """Sixteen beams over four tokens lose nothing in three steps, so they must end with the true ranking."""
    letters, count = [20, 149, 74, 116], 5
    input_ids, mask = mixture.encode(CONVERSATIONS[1:])
    face = MixtureForCausalLM(mixture, PREFERENCES[1:])
    found = face.generate(
        input_ids,
        attention_mask=mask,
        prefix_allowed_tokens_fn=lambda request, past: letters,
        num_beams=16,
        num_return_sequences=count,
        max_new_tokens=3,
        do_sample=False,
        length_penalty=0.0,
        return_dict_in_generate=True,
        output_scores=True,
    )
    for row in range(2):
        alone = MixtureForCausalLM(mixture, PREFERENCES[1 + row])
        scores = {
            response: score(alone, input_ids[row : row + 1], mask[row : row + 1], response)
            for response in product(letters, repeat=3)
        }
        best = sorted(scores, key=lambda response: -scores[response])[:count]
        mine = slice(row * count, (row + 1) * count)
        assert [tuple(tokens) for tokens in found.sequences[mine, input_ids.shape[1] :].tolist()] == best
        expected = torch.tensor([scores[response] for response in best])
        torch.testing.assert_close(found.sequences_scores[mine], expected, atol=1e-5, rtol=0)


def test_the_scores_that_generate_returns_are_the_mixtures_log_probabilities(mixture: Mixture) -> None:
    input_ids, mask = mixture.encode(CONVERSATIONS)
    options = {"max_new_tokens": 4, "do_sample": False, "return_dict_in_generate": True, "output_logits": True}
    made = MixtureForCausalLM(mixture, PREFERENCES).generate(input_ids, attention_mask=mask, **options)
    asked = torch.stack([mixture.asked(preference) for preference in PREFERENCES])
    state, tokens = mixture.start(mask, asked), input_ids
    for turn, logits in enumerate(made.logits, start=input_ids.shape[1]):
        torch.testing.assert_close(logits, mixture.step(state, tokens).logprobs.float(), atol=1e-6, rtol=0)
        tokens = made.sequences[:, turn : turn + 1]


def test_sampling_follows_processors_and_returns_several_responses_of_each_request(mixture: Mixture) -> None:
    face = MixtureForCausalLM(mixture, PREFERENCES)
    options = {"do_sample": True, "num_return_sequences": 4, "bad_words_ids": [[20]], "min_new_tokens": 8}
    torch.manual_seed(0)
    drawn = responses(face, [0, 1, 2], top_k=0, **options)
    assert len({tuple(response) for response in drawn}) == 12
    assert all(20 not in response and len(response) == 8 for response in drawn)
    greedy = responses(face, [0, 1, 2], bad_words_ids=[[20]], min_new_tokens=8)
    assert responses(face, [0, 1, 2], top_k=1, **options) == [response for response in greedy for _ in range(4)]


class Enough(StoppingCriteria):
    """Stops every row once it holds a token."""

    def __init__(self, token: int) -> None:
        self.token = token

    def __call__(self, input_ids: Tensor, scores: Tensor, **options: object) -> Tensor:
        return (input_ids == self.token).any(dim=-1)


def test_stopping_criteria_stop(mixture: Mixture) -> None:
    face = MixtureForCausalLM(mixture, PREFERENCES[0])
    (free,) = responses(face, [0])
    criteria = StoppingCriteriaList([Enough(free[2]), MaxTimeCriteria(60.0)])
    assert responses(face, [0], stopping_criteria=criteria) == [free[:3]]


class Noted(TextStreamer):
    """A streamer that also notes the token ids."""

    tokens: list[int]

    def put(self, value: Tensor) -> None:
        self.tokens = [*getattr(self, "tokens", []), *value.flatten().tolist()]
        super().put(value)


def test_a_streamer_gets_every_token(mixture: Mixture, capsys: pytest.CaptureFixture[str]) -> None:
    face = MixtureForCausalLM(mixture, PREFERENCES[0])
    input_ids, _ = mixture.encode(CONVERSATIONS[:1])
    streamer = Noted(mixture.tokenizer, skip_prompt=True)
    (response,) = responses(face, [0], streamer=streamer)
    assert streamer.tokens == input_ids[0].tolist() + response
    assert capsys.readouterr().out.rstrip("\n") == mixture.tokenizer.decode(response).rstrip("\n")


def test_an_iterating_streamer_gives_the_text_to_another_thread(mixture: Mixture) -> None:
    face = MixtureForCausalLM(mixture, PREFERENCES[0])
    streamer = TextIteratorStreamer(mixture.tokenizer, skip_prompt=True, timeout=60.0)
    thread = Thread(target=responses, args=(face, [0]), kwargs={"streamer": streamer})
    thread.start()
    text = "".join(streamer)
    thread.join()
    assert text == mixture.tokenizer.decode(responses(face, [0])[0])


def test_the_loss_is_the_mean_of_the_mixtures_own_log_probabilities(mixture: Mixture) -> None:
    input_ids, mask = mixture.encode(CONVERSATIONS)
    labels = input_ids.masked_fill(mask == 0, -100)
    labels[0, :-4] = -100
    asked = torch.stack([mixture.asked(preference) for preference in PREFERENCES])
    with torch.no_grad():
        logprobs, _ = mixture.mix(mixture.bank.read(input_ids, mask, Rows.of(asked)), asked)
    scored = [
        float(logprobs[row, place - 1, labels[row, place]])
        for row, place in product(range(3), range(1, labels.shape[1]))
        if labels[row, place] != -100
    ]
    face = MixtureForCausalLM(mixture, PREFERENCES)
    said = face(input_ids, mask, labels=labels)
    assert torch.equal(said.logits, logprobs)
    assert said.loss.item() == pytest.approx(-sum(scored) / len(scored), abs=1e-6)
    divided = face(input_ids, mask, labels=labels, num_items_in_batch=100).loss
    assert divided.item() == pytest.approx(-sum(scored) / 100, abs=1e-6)


def test_the_loss_reaches_the_controller(mixture: Mixture) -> None:
    input_ids, mask = mixture.encode(CONVERSATIONS)
    face = MixtureForCausalLM(mixture, PREFERENCES)
    weight = mixture.pcm.score.weight
    (gradient,) = torch.autograd.grad(face(input_ids, mask, labels=input_ids).loss, weight)
    assert gradient.abs().max() > 0


def test_padding_on_either_side_changes_no_score(mixture: Mixture) -> None:
    face = MixtureForCausalLM(mixture, PREFERENCES[2])
    (tokens,) = torch.randint(3, 300, (1, 9), generator=torch.Generator().manual_seed(0))
    alone = face(tokens.unsqueeze(0)).logits[0]
    for padding in ((3, 0), (0, 3)):
        mask = functional.pad(torch.ones(1, 9, dtype=torch.long), padding)
        said = face(functional.pad(tokens.unsqueeze(0), padding), mask).logits[0, mask[0] == 1]
        torch.testing.assert_close(said, alone, atol=1e-9, rtol=0)


def test_reading_on_from_a_cache_equals_one_reading(mixture: Mixture) -> None:
    input_ids, mask = mixture.encode(CONVERSATIONS)
    face = MixtureForCausalLM(mixture, PREFERENCES)
    whole = face(input_ids, mask).logits
    first = face(input_ids[:, :5], mask[:, :5], use_cache=True)
    second = face(input_ids[:, 5:], mask, past_key_values=first.past_key_values)
    torch.testing.assert_close(torch.cat([first.logits, second.logits], dim=1), whole, atol=1e-9, rtol=0)


@pytest.mark.parametrize("way", ["reorder_cache", "batch_select_indices", "batch_repeat_interleave"])
def test_a_cache_hands_each_requests_past_on_with_its_experts(mixture: Mixture, way: str) -> None:
    """Were the rows of one expert left behind, its requests would go on from other requests' pasts."""
    input_ids, mask = mixture.encode(CONVERSATIONS)
    face = MixtureForCausalLM(mixture, PREFERENCES)
    cache = face(input_ids[:, :-1], mask[:, :-1], use_cache=True).past_key_values
    argument, requests = {
        "reorder_cache": (torch.tensor([2, 0, 1]), [2, 0, 1]),
        "batch_select_indices": (torch.tensor([True, False, True]), [0, 2]),
        "batch_repeat_interleave": (2, [0, 0, 1, 1, 2, 2]),
    }[way]
    getattr(cache, way)(argument)
    assert cache.batch_size == len(requests)
    moved = {"past_key_values": cache, "asked": face.asked[requests]}
    said = face(input_ids[requests, -1:], mask[requests], logits_to_keep=1, **moved).logits
    torch.testing.assert_close(said, face(input_ids, mask).logits[requests, -1:], atol=1e-9, rtol=0)


def test_an_expert_that_gives_no_number_is_named(mixture: Mixture) -> None:
    broken = mixture.bank.parameters_of("friendly")[0]
    before = broken.detach().clone()
    try:
        with torch.no_grad():
            broken.fill_(torch.nan)
        with pytest.raises(ValueError, match=r"must be numbers, got NaN from friendly$"):
            responses(MixtureForCausalLM(mixture, None), [0])
    finally:
        with torch.no_grad():
            broken.copy_(before)


def test_what_does_not_fit_is_refused(mixture: Mixture) -> None:
    input_ids, mask = mixture.encode(CONVERSATIONS)
    face = MixtureForCausalLM(mixture, PREFERENCES[:2])
    with pytest.raises(ValueError, match="one for each of 3 rows, got 2"):
        face(input_ids, mask)
    with pytest.raises(ValueError, match=r"asked must have the shape \(B, 3\), got \(2, 2\)"):
        MixtureForCausalLM(mixture, torch.ones(2, 2))
    with pytest.raises(ValueError, match=r"asked must be numbers in \[0, 1\], got"):
        MixtureForCausalLM(mixture, torch.tensor([[0.0, 1.5, 0.0]]))
    cache = face(input_ids[:2], mask[:2], use_cache=True).past_key_values
    with pytest.raises(ValueError, match="must go on with the preferences it was read for"):
        face(input_ids[:2, :1], past_key_values=cache, asked=torch.ones(1, 3))
    with pytest.raises(ValueError, match="window of 96 tokens"):
        face(torch.ones(2, 97, dtype=torch.long))
    with pytest.raises(ValueError, match="cache_implementation must be None, got 'static'"):
        face.generate(input_ids[:2], attention_mask=mask[:2], max_new_tokens=2, cache_implementation="static")
    with pytest.raises(NotImplementedError, match=r"saved as a bundle, by Mixture\.save"):
        face.save_pretrained("anywhere")


def test_a_face_leaves_the_base_as_it_was(mixture: Mixture) -> None:
    config, defaults = mixture.bank.base.config.to_dict(), mixture.bank.base.generation_config.to_dict()
    attention = mixture.bank.base.config._attn_implementation
    before = {name: tensor.clone() for name, tensor in mixture.bank.state_dict().items()}
    face = MixtureForCausalLM(mixture, None)
    face.tie_weights()
    assert (mixture.bank.base.config.to_dict(), mixture.bank.base.generation_config.to_dict()) == (config, defaults)
    assert mixture.bank.base.config._attn_implementation == attention != face.config._attn_implementation
    assert all(torch.equal(tensor, before[name]) for name, tensor in mixture.bank.state_dict().items())
    assert face.generation_config is not mixture.bank.base.generation_config
    assert face.get_input_embeddings() is mixture.bank.base.get_input_embeddings()
    assert face.get_output_embeddings() is mixture.bank.base.get_output_embeddings()
