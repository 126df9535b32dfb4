"""Pairs that are drawn once: the controller learns from the same answers of the uniform mixture every time."""

from dataclasses import replace

import pytest
import torch
from test_training import ASKED, PROMPTS, StopAfter, batch, fit, training

from pcm.data import Batch
from pcm.module import ControllerTraining
from pcm.stored import Judged, StoredPairs

SETTINGS = (0, "as it is")


def judged(number: float = 0.5) -> Judged:
    tokens = torch.tensor([[5, 6], [7, 0]])
    mask = torch.tensor([[1, 1], [1, 0]])
    return Judged(tokens, mask, torch.full((2, 2), -number, dtype=torch.double), torch.full((2, 4), number))


def refuse() -> Judged:
    raise AssertionError("nothing may be drawn here")


def test_what_was_drawn_once_comes_back_to_the_last_bit(tmp_path):
    stored = StoredPairs(tmp_path / "pairs", "these models")
    first = stored(batch(), SETTINGS, judged)
    again = StoredPairs(tmp_path / "pairs", "these models")(batch(), SETTINGS, refuse)
    assert all(torch.equal(*pair) and pair[0].dtype == pair[1].dtype for pair in zip(first, again, strict=True))
    assert [path.suffix for path in (tmp_path / "pairs").iterdir()] == [".safetensors"]


def test_others_can_read_what_was_drawn(tmp_path):
    """Several runs share it; safetensors writes files that nobody else can read."""
    StoredPairs(tmp_path / "pairs", "these models")(batch(), SETTINGS, judged)
    (tmp_path / "plain").touch()
    (path,) = (tmp_path / "pairs").iterdir()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_whatever_answers_depend_on_has_a_file_of_its_own(tmp_path):
    ours = batch()
    others = [
        replace(ours, number=1),
        replace(ours, asked=ASKED.flip(0)),
        replace(ours, words=["be warm", None, None]),
        replace(ours, conversations=PROMPTS[::-1]),
    ]
    found = [StoredPairs(tmp_path, made).path(ours, told) for made in "ab" for told in (SETTINGS, (1, "as it is"))]
    found += [StoredPairs(tmp_path, "a").path(other, SETTINGS) for other in others]
    assert len(set(found)) == 8
    assert StoredPairs(tmp_path, "a").path(Batch(0, PROMPTS, ASKED, [None] * 3), SETTINGS) == found[0]


def test_pairs_are_the_uniform_mixtures_whatever_the_controller_says(mixture, tmp_path):
    """And so is what they are compared with: else the ratio would forget what was learned before."""
    module = training(mixture)
    torch.nn.init.normal_(module.controller.score.weight, std=3.0)
    module.stored = StoredPairs(tmp_path, "the tiny one")
    prompts = module.frozen.prompts(batch(), times=2)
    drawn = module.pairs(batch(), prompts)
    uniform = module.frozen.draw(None, prompts, module.drawing, module.pair_generators(0, 3))
    assert torch.equal(drawn.tokens, uniform.tokens)
    assert torch.equal(drawn.scores, module.frozen.scores(batch(), uniform))
    experience = module.frozen.read(prompts, drawn, places_matter=False)
    old, divergence, seen = module.look(experience, drawn)
    torch.testing.assert_close(old, uniform.logprobs[uniform.mask.bool()], atol=1e-6, rtol=0)
    assert float(seen["rollout/gap"]) < 1e-6
    mixed, _ = experience.mixed(module.rule, module.controller)
    assert float((experience.chosen(mixed) - old).abs().max()) > 0.1
    torch.testing.assert_close(divergence, experience.divergence(mixed, 6))
    module.stored = None
    assert not torch.equal(module.pairs(batch(), prompts).logprobs, uniform.logprobs)


def test_a_second_training_learns_the_same_without_drawing(mixture, tmp_path, monkeypatch):
    trained = []
    for _ in range(2):
        module = training(mixture, objective="dpo", stored=StoredPairs(tmp_path / "pairs", "the tiny one"))
        before = module.controller.score.weight.detach().clone()
        fit(module, tmp_path / str(len(trained)), StopAfter(1))
        trained.append(module.controller.state_dict())
        assert not torch.equal(before, trained[-1]["score.weight"])
        assert len(list((tmp_path / "pairs").iterdir())) == 2  # an iteration each
        monkeypatch.setattr(ControllerTraining, "pair_generators", None)  # without them nothing is drawn
    assert all(torch.equal(value, trained[1][name]) for name, value in trained[0].items())


@pytest.mark.parametrize("measured_against", ["base", "uniform"])
def test_what_stored_pairs_are_measured_against_is_stored_too(mixture, tmp_path, monkeypatch, measured_against):
    """Else a training from stored pairs draws a response to each prompt in every iteration."""
    module = training(mixture, stored=StoredPairs(tmp_path, "the tiny one"))
    if measured_against == "uniform":
        module.references = None
    beaten, drawn = module.beaten(batch()), module.pairs(batch(), module.frozen.prompts(batch(), times=2))
    monkeypatch.setattr(mixture, "rollout", None)  # without it nothing is drawn
    assert torch.equal(module.beaten(batch()), beaten)
    assert torch.equal(module.pairs(batch(), module.frozen.prompts(batch(), times=2)).scores, drawn.scores)
    assert len(list(tmp_path.iterdir())) == (2 if measured_against == "uniform" else 1)
    module.stored = None
    if measured_against == "uniform":
        with pytest.raises(TypeError):
            module.beaten(batch())
