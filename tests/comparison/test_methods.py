"""Each method is what its name says, against Hugging Face's own generation where that can do the same."""

import random
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from comparison.combinations import combinations
from comparison.methods import (
    Base,
    Expert,
    Mixed,
    MixedByText,
    PromptPreference,
    all_methods,
    asked_rows,
)
from comparison.phrasing import phrased
from comparison.soups import Kitchen, Soup
from decoding.sampling import Sampling
from experts.soup import merged_update
from experts.soup.recipes import RECIPES
from mixture import Mixture

QUESTIONS = [[{"role": "user", "content": text}] for text in ("What is a volcano?", "mountain", "thank you")]
GREEDY = Sampling(temperature=0.0, max_new_tokens=14)
DRAWN = Sampling(temperature=1.0, max_new_tokens=6)
ASKED = ("friendly", "concise")


def phrase(asked: tuple[str, ...], rng: random.Random) -> str:
    return f"be {' '.join(asked)} {rng.randrange(10**6)}"


def generated(mixture: Mixture, updates: Mapping[str, Tensor]) -> list[str]:
    """Greedy answers of Hugging Face's `generate` on the base with these updates added to its weights."""
    model = deepcopy(mixture.bank.base)
    for module in model.modules():
        module._forward_hooks.clear()
    for name, update in updates.items():
        model.get_submodule(name).weight.data += update
    texts = []
    for question in QUESTIONS:
        input_ids, mask = mixture.encode([question])
        whole = model.generate(
            input_ids, attention_mask=mask, do_sample=False, max_new_tokens=14, pad_token_id=0, use_cache=True
        )
        texts.append(mixture.tokenizer.decode(whole[0, input_ids.shape[1] :], skip_special_tokens=True))
    return texts


def test_the_base_is_the_base_alone(mixture: Mixture):
    base = Base(mixture)
    assert base.respond(QUESTIONS, (), GREEDY, 0) == generated(mixture, {})
    assert not base.listens


def test_an_expert_is_that_expert_alone(mixture: Mixture):
    for name in mixture.names:
        expert = Expert(mixture, name)
        assert expert.name == f"expert-{name}"
        assert expert.respond(QUESTIONS, (), GREEDY, 0) == generated(mixture, merged_update(mixture.bank, {name: 1.0}))
    with pytest.raises(ValueError, match="got 'rude'"):
        Expert(mixture, "rude")


def test_the_soup_is_the_base_with_the_mean_of_the_updates(mixture: Mixture):
    """Law 7, through the decoding: a soup that averaged A and B apart would answer something else."""
    soup = Soup("soup-uniform", Kitchen(mixture), RECIPES["exact"])
    texts = {}
    for asked in combinations(mixture.dimensions):
        updates = merged_update(mixture.bank, dict.fromkeys(asked, 0.5))
        texts[asked] = soup.respond(QUESTIONS, asked, GREEDY, 0)
        assert texts[asked] == generated(mixture, updates)
    assert len({tuple(answers) for answers in texts.values()}) == 2


def test_the_uniform_mixture_has_no_controller_and_the_controlled_one_has(mixture: Mixture):
    methods = {method.name: method for method in all_methods(mixture, phrase, phrase)}
    fixed, controlled = methods["fixed-uniform"], methods["pcm-anchored"]
    assert isinstance(fixed, Mixed)
    assert isinstance(controlled, Mixed)
    assert fixed.mixture.pcm is None
    assert controlled.mixture.pcm is mixture.pcm
    assert fixed.mixture.rule == controlled.mixture.rule == mixture.rule
    assert fixed.respond(QUESTIONS, ASKED, GREEDY, 0) != controlled.respond(QUESTIONS, ASKED, GREEDY, 0)


def test_the_prompted_base_reads_the_preference_in_front_of_the_question(mixture: Mixture):
    prompted = PromptPreference(mixture, lambda asked, rng: "be warm")
    in_front = [[{"role": "system", "content": "be warm"}, *question] for question in QUESTIONS]
    answers = prompted.respond(QUESTIONS, ASKED, GREEDY, 0)
    assert answers == Base(mixture).respond(in_front, (), GREEDY, 0)
    assert answers != Base(mixture).respond(QUESTIONS, (), GREEDY, 0)


def test_a_mixture_can_be_told_in_its_prompt_as_well(mixture: Mixture):
    told = Mixed("told", mixture, lambda asked, rng: "be warm").respond(QUESTIONS, ASKED, GREEDY, 0)
    in_front = [[{"role": "system", "content": "be warm"}, *question] for question in QUESTIONS]
    untold = Mixed("untold", mixture)
    assert told == untold.respond(in_front, ASKED, GREEDY, 0)
    assert told != untold.respond(QUESTIONS, ASKED, GREEDY, 0)


class Understanding(nn.Module):
    """A reader that hears exactly the names in a text."""

    def asked(self, text: str, alone: bool = True) -> Tensor:
        return torch.tensor([float(f" {name} " in text) for name in ("friendly", "unfriendly", "concise")])


def test_asking_in_words_that_are_understood_is_asking_by_name(mixture: Mixture):
    hearing = replace(mixture, reader=Understanding())
    by_text = MixedByText("pcm-text", hearing, phrase)
    by_name = Mixed("pcm-anchored", mixture)
    assert by_text.respond(QUESTIONS, ASKED, DRAWN, 3) == by_name.respond(QUESTIONS, ASKED, DRAWN, 3)


def test_words_that_are_told_stand_in_the_prompt_as_well(mixture: Mixture):
    told = MixedByText("pcm-text-prompted", replace(mixture, reader=Understanding()), phrase, told=True)
    by_name = Mixed("pcm-anchored-prompted", mixture, phrase)
    assert told.respond(QUESTIONS, ASKED, DRAWN, 3) == by_name.respond(QUESTIONS, ASKED, DRAWN, 3)


def test_half_an_intensity_is_asked_for_by_half(mixture: Mixture):
    rows = asked_rows(mixture, ("friendly=0.5", "concise"), 2)
    assert rows.tolist() == [[0.5, 0.0, 1.0]] * 2
    heard = phrased(lambda asked, rng: " and ".join(asked), QUESTIONS[:1], ("friendly=0.5", "concise"), 0)
    assert heard == ["friendly and concise"]


def test_every_draw_has_its_seed(mixture: Mixture):
    for method in all_methods(mixture, phrase, phrase):
        first = method.respond(QUESTIONS, ASKED, DRAWN, 0)
        assert first == method.respond(QUESTIONS, ASKED, DRAWN, 0), method.name
        assert first != method.respond(QUESTIONS, ASKED, DRAWN, 1), method.name
        assert method.respond(QUESTIONS[1:], ASKED, DRAWN, 0) == first[1:], method.name


def test_only_methods_that_listen_answer_otherwise_when_asked_otherwise(mixture: Mixture):
    for method in all_methods(mixture, phrase, phrase):
        if method.name == "pcm-text":
            continue  # the tiny reader is untrained
        friendly, unfriendly = (
            method.respond(QUESTIONS, asked, DRAWN, 0) for asked in combinations(mixture.dimensions)
        )
        assert (friendly != unfriendly) == method.listens, method.name


def test_without_a_controller_there_is_nothing_to_compare_and_without_a_reader_nothing_is_asked_in_words(
    mixture: Mixture,
):
    with pytest.raises(ValueError, match="needs a bundle with a controller"):
        all_methods(replace(mixture, pcm=None), phrase, phrase)
    names = [method.name for method in all_methods(replace(mixture, reader=None), phrase, phrase)]
    assert names[-1] == "pcm-anchored"
