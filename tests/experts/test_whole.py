"""Whole models as experts: each reads as it would alone, whoever is read beside it."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from households import VOCABULARY, mixture_of, tiny_base
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from causal_lm import MixtureForCausalLM
from decoding.sampling import Sampling
from experts.bank import ExpertBank
from experts.passes import arguments
from experts.probe import refuse_silent_experts
from experts.reading import Bank
from experts.rows import Rows
from experts.soup import merged_update
from experts.whole import CacheOfEach, WholeModels
from mixture import Mixture
from pcm.preference import Preference

EXACT = {"atol": 1e-10, "rtol": 0.0}
PROMPTS = torch.tensor([[0, 0, 0, 7, 8, 9], [0, 3, 4, 5, 6, 7], [11, 12, 13, 14, 15, 16]])
MASK = (PROMPTS > 0).long()  # padded on the left by three, one and no tokens
REAL = MASK.bool()
SOME = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 0.3]])


def another(seed: int, layers: int = 2, width: int = 16, vocabulary: int = VOCABULARY) -> PreTrainedModel:
    """A model of its own depth and width."""
    torch.manual_seed(seed)
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "intermediate_size": 24, "num_attention_heads": 4}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, **sizes, max_position_embeddings=64))
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.3)
    return model.double().eval()


@pytest.fixture(scope="module")
def family() -> dict[str, PreTrainedModel]:
    """A base, a child of its shape and a smaller one with sliding windows; tests leave them as they are."""
    return {"base": another(0), "twin": another(1), "slim": tiny_base("gemma3")}


@pytest.fixture
def models(family: dict[str, PreTrainedModel]) -> WholeModels:
    bank = WholeModels(family["base"])
    bank.add("twin", family["twin"])
    bank.add("slim", family["slim"])
    return bank


@torch.no_grad()
def alone(model: PreTrainedModel, ids: Tensor, mask: Tensor) -> Tensor:
    return model(**arguments(ids, mask, None)).logits


@torch.no_grad()
def test_each_model_reads_as_it_does_alone(models: WholeModels, family: dict[str, PreTrainedModel]) -> None:
    reading = models.read(PROMPTS, MASK, Rows.of(torch.ones(3, 2)))
    torch.testing.assert_close(reading.base[REAL], alone(family["base"], PROMPTS, MASK)[REAL], **EXACT)
    for index, name in enumerate(models.names):
        own = alone(family[name], PROMPTS, MASK)
        torch.testing.assert_close(reading.experts[:, :, index][REAL], own[REAL], **EXACT)
        assert (own - reading.base)[REAL].abs().max() > 0.1
    torch.testing.assert_close(family["base"].lm_head(reading.hidden), reading.base, **EXACT)


@torch.no_grad()
def test_a_request_reads_the_same_alone_and_in_a_batch_of_other_wishes(models: WholeModels) -> None:
    batch = models.read(PROMPTS, MASK, Rows.of(SOME))
    everyone = models.read(PROMPTS, MASK, Rows.of(torch.ones(3, 2)))
    expected = torch.where((SOME > 0)[:, None, :, None], everyone.experts, everyone.base.unsqueeze(2))
    torch.testing.assert_close(batch.experts[REAL], expected[REAL], **EXACT)
    for request, pads in enumerate((3, 1, 0)):
        prompt = PROMPTS[request : request + 1, pads:]
        single = models.read(prompt, torch.ones_like(prompt), Rows.of(SOME[request : request + 1]))
        torch.testing.assert_close(single.experts[0], batch.experts[request, pads:], **EXACT)
        torch.testing.assert_close(single.hidden[0], batch.hidden[request, pads:], **EXACT)


@torch.no_grad()
@pytest.mark.parametrize("asked", [torch.ones(3, 2), SOME])
def test_reading_step_by_step_equals_one_full_pass(models: WholeModels, asked: Tensor) -> None:
    text = torch.cat([PROMPTS, torch.arange(9).view(3, 3) + 20], dim=1)
    mask = torch.cat([MASK, torch.ones(3, 3, dtype=torch.long)], dim=1)
    rows, cache = Rows.of(asked), models.empty_cache()
    full = models.read(text, mask, rows)
    for start, end in [(0, 6), (6, 7), (7, 9)]:
        assert cache.get_seq_length() == start
        step = models.read(text[:, start:end], mask[:, :end], rows, cache, logits_to_keep=1)
        torch.testing.assert_close(step.experts[:, -1], full.experts[:, end - 1], **EXACT)
        torch.testing.assert_close(step.base[:, -1], full.base[:, end - 1], **EXACT)
        torch.testing.assert_close(step.hidden[:, -1], full.hidden[:, end - 1], **EXACT)


def test_a_model_runs_only_for_the_requests_that_ask(models: WholeModels, family: dict[str, PreTrainedModel]) -> None:
    seen: dict[str, int] = {}
    handles = [
        model.register_forward_hook(lambda module, inputs, output, name=name: seen.update({name: len(output.logits)}))
        for name, model in family.items()
    ]
    with torch.no_grad():
        models.read(PROMPTS, MASK, Rows.of(torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])))
    for handle in handles:
        handle.remove()
    assert seen == {"base": 3, "twin": 2}


@torch.no_grad()
def test_folders_are_read_in_the_order_given_and_saved_again(
    family: dict[str, PreTrainedModel], models: WholeModels, tmp_path: Path
) -> None:
    for name in ("slim", "twin"):
        models.save(name, tmp_path / name)
    again = WholeModels.load(family["base"], {name: tmp_path / name for name in ("slim", "twin")})
    assert again.names == ["slim", "twin"]
    rows = Rows.of(torch.ones(3, 2))
    before, after = models.read(PROMPTS, MASK, rows), again.read(PROMPTS, MASK, rows)
    torch.testing.assert_close(after.experts[REAL], before.experts.flip(2)[REAL], **EXACT)


def test_a_hub_id_is_read_at_its_revision(models: WholeModels, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def from_pretrained(where: str, **settings: object) -> PreTrainedModel:
        asked.append({"where": where, **settings})
        return another(6)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", from_pretrained)
    models.add("pinned", "someone/kind@v1")
    models.add("loose", "someone/kind")
    assert asked == [
        {"where": "someone/kind", "revision": revision, "dtype": torch.float64, "use_safetensors": True}
        for revision in ("v1", "main")
    ]


def test_whole_models_stay_frozen_and_without_dropout(models: WholeModels) -> None:
    models.add("late", another(8).train())
    assert not models._model("late").training
    models.train()
    assert not any(module.training for module in models.modules())
    assert not any(parameter.requires_grad for parameter in models.parameters())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda base: another(2, vocabulary=VOCABULARY + 1),
            "'new' must have the base's vocabulary of 50 tokens, got 51",
        ),
        (deepcopy, "'new' must change the base's logits"),
    ],
    ids=["vocabulary", "silent"],
)
def test_a_model_that_does_not_fit_is_refused_and_leaves_no_trace(
    models: WholeModels, spoil: Callable[[PreTrainedModel], PreTrainedModel], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        models.add("new", spoil(models.base))
    assert models.names == ["twin", "slim"]
    refuse_silent_experts(models)


def test_what_cannot_be_read_is_refused(models: WholeModels) -> None:
    with pytest.raises(ValueError, match="must be new and without dots, got 'twin'"):
        models.add("twin", another(3))
    with pytest.raises(ValueError, match=r"must be one of \['twin', 'slim'\], got 'new'"):
        models.save("new", "anywhere")
    with pytest.raises(ValueError, match="experts up to 1, got 2"):
        models.read(PROMPTS, MASK, Rows.of(torch.ones(3, 3)))
    with pytest.raises(ValueError, match=r"one base row for each of 3 requests, got \[\]"):
        models.read(PROMPTS, MASK, Rows(torch.arange(3), torch.zeros(3, dtype=torch.long)))
    with pytest.raises(ValueError, match=r"must come from this bank's empty_cache\(\)"):
        models.read(PROMPTS, MASK, Rows.of(SOME), WholeModels(models.base).empty_cache())


def test_cropping_the_cache_crops_every_model_s_part(family: dict[str, PreTrainedModel]) -> None:
    models = WholeModels(family["base"])
    models.add("twin", family["twin"])
    cache = models.empty_cache()
    with torch.no_grad():
        models.read(PROMPTS, MASK, Rows.of(torch.ones(3, 1)), cache)
    cache.crop(-2)
    assert isinstance(cache, CacheOfEach)
    assert [part.get_seq_length() for part in cache.parts] == [4, 4]


def alone_and_together(answer: Callable[[Tensor, Tensor, Tensor], list[list[int]]]) -> tuple[list[list[int]], ...]:
    """What three requests are answered one by one, without padding, and side by side."""
    singly = []
    for request, pads in enumerate((3, 1, 0)):
        prompt = PROMPTS[request : request + 1, pads:]
        singly += answer(prompt, torch.ones_like(prompt), SOME[request : request + 1])
    return singly, answer(PROMPTS, MASK, SOME)


def test_responses_that_leave_the_batch_leave_the_others_what_they_read(models: WholeModels) -> None:
    lengths = {7: 20, 3: 3, 11: 11}  # by the first token of the prompt

    def answer(prompts: Tensor, mask: Tensor, asked: Tensor) -> list[list[int]]:
        first = prompts.gather(1, mask.argmax(-1, keepdim=True)).flatten().tolist()
        samplings = [Sampling(0.0, max_new_tokens=lengths[token]) for token in first]
        rollout = mixture_of(models).rollout(prompts, mask, asked, samplings, [])
        return [tokens[kept.bool()].tolist() for tokens, kept in zip(rollout.tokens, rollout.mask, strict=True)]

    singly, together = alone_and_together(answer)
    assert together == singly
    assert len({len(tokens) for tokens in together}) == 3


def test_beams_keep_their_own_past_in_every_model(models: WholeModels) -> None:
    def answer(prompts: Tensor, mask: Tensor, asked: Tensor) -> list[list[int]]:
        face = MixtureForCausalLM(mixture_of(models), asked)
        found = face.generate(prompts, attention_mask=mask, num_beams=3, max_new_tokens=6, do_sample=False)
        return [tokens.tolist() for tokens in found[:, prompts.shape[1] :]]

    singly, together = alone_and_together(answer)
    assert together == singly


def test_a_mixture_of_whole_models_speaks_like_one_of_the_same_experts_as_adapters(mixture: Mixture) -> None:
    models = WholeModels(mixture.bank.base)
    for name in mixture.names:
        merged = deepcopy(mixture.bank.base)
        for module, update in merged_update(mixture.bank, {name: 1.0}).items():
            merged.get_submodule(module).weight.data += update
        models.add(name, merged)
    twin = replace(mixture, bank=models)
    question = [{"role": "user", "content": "What is a volcano?"}]
    wishes = [Preference(weights={"friendly": 1.0}), Preference(weights={"concise": 1.0, "unfriendly": 0.5})]
    asked = ([question, question], wishes, Sampling(temperature=0, max_new_tokens=6), [1, 2])
    spoken = [[response.text for response in each.generate(*asked)] for each in (mixture, twin)]
    assert spoken[0] == spoken[1]
    assert spoken[0][0] != spoken[0][1]


def test_both_kinds_of_experts_are_banks(models: WholeModels) -> None:
    banks: list[Bank] = [models, ExpertBank(models.base)]
    assert [bank.empty_cache().get_seq_length() for bank in banks] == [0, 0]
