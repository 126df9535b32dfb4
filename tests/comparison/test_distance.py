"""Nats are those that a decoding loop meets token by token."""

from pathlib import Path

import numpy as np
import pytest
import torch

from comparison.archive import Archive, Run
from comparison.decoding import Decoded, answers
from comparison.distance import alone, distances, nats
from comparison.lineup import Tempered
from comparison.methods import Base, Expert, Mixed, PromptPreference
from decoding.sampling import Sampling
from mixture import Mixture

QUESTIONS = [[{"role": "user", "content": text}] for text in ("What is a volcano?", "mountain", "be kind")]
ASKED = ("friendly", "concise")
LONGEST = 12


def met(mixture: Mixture, method: Decoded, place: int, text: str, temperature: float) -> float:
    """The nats of one answer, as the method and the base say them step by step."""
    request, bare = method.request(QUESTIONS, ASKED, 0), Base(mixture).request(QUESTIONS, (), 0)
    ids = mixture.tokenizer(text, add_special_tokens=False)["input_ids"]
    tokens = ids if len(ids) >= LONGEST else [*ids, mixture.tokenizer.eos_token_id]
    said = []
    for one in (request, bare):
        prompt, mask = one.mixture.encode([one.conversations[place]])
        state = one.mixture.start(mask, one.asked[place : place + 1])
        reads = [prompt, *(torch.tensor([[token]]) for token in tokens[:-1])]
        said.append(torch.stack([one.mixture.step(state, read).logprobs[0] for read in reads]))  # (R, V)
    ours, base = said
    if temperature == 0:
        return float(-base[torch.arange(len(base)), ours.argmax(-1)].sum())
    cooled = (ours / (temperature * request.tempering)).log_softmax(-1)
    return float((cooled.exp() * (cooled - base)).sum())


@pytest.mark.parametrize("temperature", [1.0, 0.5, 0.0])
def test_every_method_is_as_far_as_its_loop_says(mixture: Mixture, temperature: float):
    mixed = Mixed("pcm", mixture)
    prompted = PromptPreference(mixture, lambda asked, rng: "be warm")
    for method in (mixed, prompted, Tempered("cool", mixed, 0.5)):
        request = method.request(QUESTIONS, ASKED, 0)
        texts = answers(request, Sampling(temperature, max_new_tokens=LONGEST))
        found = nats(request, QUESTIONS, texts, temperature, LONGEST)
        expected = [met(mixture, method, place, text, temperature) for place, text in enumerate(texts)]
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert (found > 0).all()


def test_the_base_is_no_nats_from_itself(mixture: Mixture):
    request = Base(mixture).request(QUESTIONS, (), 0)
    texts = answers(request, Sampling(max_new_tokens=LONGEST))
    np.testing.assert_allclose(nats(request, QUESTIONS, texts, 1.0, LONGEST), 0, atol=1e-9)


def test_what_was_measured_is_kept(mixture: Mixture, tmp_path: Path):
    archive = Archive.of(tmp_path, QUESTIONS)
    texts = {ASKED: [["a", "b", "c"], ["d", "e", "f"]], ("friendly",): [["g", "h", "i"], ["j", "k", "l"]]}
    method = Mixed("pcm", mixture)
    found = distances(method, texts, 1.0, archive, LONGEST)
    assert found.shape == (3, 2, 2)
    assert archive.noted(Run("pcm", ASKED, 1.0, 1), "nats") == found[:, 0, 1].tolist()
    archive.note(Run("pcm", ASKED, 1.0, 1), "nats", [1.0, 2.0, 3.0])
    assert distances(method, texts, 1.0, archive, LONGEST)[:, 0, 1].tolist() == [1.0, 2.0, 3.0]


def test_an_expert_s_own_answers_are_measured_at_each_temperature(mixture: Mixture, tmp_path: Path):
    archive, expert = Archive.of(tmp_path, QUESTIONS), Expert(mixture, "friendly")
    planned = {1.0: (0, 1), 0.0: (0,)}
    for temperature, seeds in planned.items():
        for seed in seeds:
            archive.write(Run(expert.name, (), temperature, seed), [f"{temperature:g} {seed} {n}" for n in range(3)])
    found = alone(expert, planned, archive, LONGEST)
    assert {temperature: values.shape for temperature, values in found.items()} == {1.0: (3, 1, 2), 0.0: (3, 1, 1)}
    texts = archive.read(Run(expert.name, (), 1.0, 1))
    measured = nats(expert.request(QUESTIONS, (), 1), QUESTIONS, texts, 1.0, LONGEST)
    np.testing.assert_allclose(found[1.0][:, 0, 1], measured, rtol=1e-6)
    with pytest.raises(ValueError, match="must be answered before it is read"):
        alone(expert, {1.0: (2,)}, archive, LONGEST)
