"""A controller with a language model of its own decodes, trains and is kept like one that reads the base's states."""

import json
import warnings
from pathlib import Path

import pytest
import torch
import yaml
from test_training import ASKED, PROMPTS, Bank, batch, data_in, quiet_trainer, training
from tiny_bundle import DIMENSIONS, tiny_base, tiny_tokenizer
from transformers import GenerationConfig

from causal_lm import MixtureForCausalLM
from decoding.rules import rule_named, uniform_log_weights
from decoding.sampling import Sampling
from mixture import Mixture
from pcm.behaviour import FEATURES
from pcm.controller import Controller
from pcm.experience import read_responses
from pcm.forms import load_controller
from pcm.model import PreferenceControlModel
from pcm.published import PublishedControlModel
from pcm.train import fresh_controller
from pcm.trunk import OwnModel, own_model

CONFIG = {
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "initializer_range": 0.5,
    "attention_dropout": 0.5,
}
FORMS = ("shared", "published")
PUBLISHED = Path(__file__).parents[2] / "configs" / "paper" / "pcm.yaml"


def trunk(mixture: Mixture, seed: int = 5) -> OwnModel:
    torch.manual_seed(seed)
    return own_model(CONFIG, mixture.tokenizer, mixture.dimensions, mixture.window)


def controller(mixture: Mixture, form: str) -> Controller:
    """One whose weights differ from token to token."""
    own = trunk(mixture)
    made = PublishedControlModel(3, own) if form == "published" else PreferenceControlModel(16, width=8, trunk=own)
    for name, parameter in made.named_parameters():
        if not name.startswith("trunk."):
            torch.nn.init.normal_(parameter, std=0.5)
    return made.double().eval()


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(row) for row in range(count)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("piece", [16384, 9])
def test_reading_step_by_step_equals_one_full_reading(mixture, form, piece):
    mixture.pcm, mixture.prefill_tokens = controller(mixture, form), piece
    prompts, mask = mixture.encode(PROMPTS)
    rollout = mixture.rollout(prompts, mask, ASKED, Sampling(max_new_tokens=8), generators(3))
    everything = torch.cat([prompts, rollout.tokens], dim=-1)
    reading = mixture.read(everything, torch.cat([mask, rollout.mask], dim=-1), ASKED)
    with torch.no_grad():
        logprobs, log_weights = mixture.mix(reading, ASKED)
    forced = logprobs[:, prompts.shape[1] - 1 : -1].gather(-1, rollout.tokens.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(forced, rollout.logprobs, atol=1e-9, rtol=0)
    weights = log_weights[0, prompts.shape[1] :, 0]
    assert float(weights.max() - weights.min()) > 1e-3


@pytest.mark.parametrize("form", FORMS)
def test_training_reads_what_decoding_decoded(mixture, form):
    mixture.pcm = controller(mixture, form)
    prompts, mask = mixture.encode(PROMPTS)
    drawn = mixture.rollout(prompts, mask, ASKED, Sampling(max_new_tokens=8), generators(3))
    experience = read_responses(
        Bank(mixture), prompts, mask, drawn.tokens, drawn.mask, ASKED, 2, places_matter=mixture.pcm.places_matter
    )
    logprobs, _ = experience.mixed(rule_named(mixture.rule), mixture.pcm)
    torch.testing.assert_close(experience.chosen(logprobs), drawn.logprobs[drawn.mask.bool()], atol=1e-6, rtol=0)
    part = experience.only(torch.tensor([True, False, True]))
    torch.testing.assert_close(
        part.chosen(part.mixed(rule_named(mixture.rule), mixture.pcm)[0]),
        experience.chosen(logprobs)[experience.response != 1],
    )
    logprobs.sum().backward()
    assert all(float(p.grad.abs().sum()) > 0 for name, p in mixture.pcm.named_parameters() if "layers" in name)


def test_a_request_decodes_the_same_alone_and_beside_others(mixture):
    mixture.pcm = controller(mixture, "shared")
    prompts, mask = mixture.encode(PROMPTS)
    together = mixture.rollout(prompts, mask, ASKED, Sampling(max_new_tokens=8), generators(3))
    for row in range(3):
        alone = mixture.rollout(
            *mixture.encode(PROMPTS[row : row + 1]),
            ASKED[row : row + 1],
            Sampling(max_new_tokens=8),
            generators(3)[row : row + 1],
        )
        assert alone.tokens[0].tolist() == together.tokens[row, : alone.tokens.shape[1]].tolist()


def test_beams_take_the_trunk_along(mixture):
    mixture.pcm = controller(mixture, "shared")
    face = MixtureForCausalLM(mixture, ASKED)
    prompts, mask = mixture.encode(PROMPTS)
    beams = GenerationConfig(
        num_beams=3, max_new_tokens=6, do_sample=False, pad_token_id=mixture.tokenizer.pad_token_id
    )
    cached, plain = (
        face.generate(prompts, attention_mask=mask, generation_config=beams, use_cache=use) for use in (True, False)
    )
    assert cached.tolist() == plain.tolist()


def test_what_would_come_without_an_expert_is_read_by_a_trunk_that_was_not_told_of_it(mixture):
    mixture.pcm = controller(mixture, "shared")
    prompts, mask = mixture.encode(PROMPTS)
    reading = mixture.read(prompts, mask, ASKED)
    others = ASKED * torch.tensor([0.0, 1.0, 1.0])
    heard = mixture.mix(mixture.heard(reading, prompts, mask, others), others)[0]
    expected = mixture.mix(mixture.read(prompts, mask, others), others)[0]
    torch.testing.assert_close(heard[0, -1], expected[0, -1])
    assert not torch.allclose(mixture.mix(reading, others)[0][0, -1], expected[0, -1])


def test_what_is_asked_stands_in_front_of_the_text(mixture):
    own = trunk(mixture)
    ids, mask = own.prefix(torch.tensor([[1.0, 0.0, 0.3], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    written = [mixture.tokenizer.decode(row[keep.bool()]) for row, keep in zip(ids, mask, strict=True)]
    assert [text.split() for text in written] == [
        f"{DIMENSIONS[0].description} {DIMENSIONS[2].description}".split(),
        [],
        DIMENSIONS[1].description.split(),
    ]
    assert own.prefix(torch.zeros(2, 3))[0].shape == (2, 0)
    with pytest.raises(ValueError, match="a prefix for each of 4 experts, got 3"):
        own.prefix(torch.ones(1, 4))


def test_the_window_leaves_room_for_what_is_asked(mixture):
    own = trunk(mixture)
    assert own.window == mixture.window
    small = {**CONFIG, "max_position_embeddings": 100}
    mixture.pcm = PreferenceControlModel(
        16, trunk=own_model(small, mixture.tokenizer, mixture.dimensions, mixture.window)
    ).double()
    assert mixture.window == 100 - sum(len(ids) for ids in own.prefixes)
    with pytest.raises(ValueError, match="must have room for more than the"):
        own_model({**CONFIG, "max_position_embeddings": 9}, mixture.tokenizer, mixture.dimensions, mixture.window)


def test_the_published_form_is_blind_to_the_experts_and_starts_uniform(mixture):
    fresh = PublishedControlModel(3, trunk(mixture))
    hidden, asked = torch.randn(5, 16), torch.tensor([[1.0, 0.0, 0.2]]).expand(5, -1)
    nothing, something = torch.zeros(5, 3, len(FEATURES)), torch.rand(5, 3, len(FEATURES))
    assert torch.equal(fresh(hidden, nothing, asked), uniform_log_weights((asked > 0).float()))
    trained = controller(mixture, "published").float()
    weights = trained(hidden, nothing, asked)
    assert torch.equal(weights, trained(hidden, something, asked))
    torch.testing.assert_close(weights.exp().sum(-1), torch.ones(5))
    scores = trained.head(hidden)[:, [0, 2]]
    torch.testing.assert_close(weights[:, [0, 2]].exp(), scores.softmax(-1))
    with pytest.raises(ValueError, match="has outputs for 3 experts, got 4"):
        trained(hidden, nothing, torch.ones(5, 4))


@pytest.mark.parametrize("form", FORMS)
def test_a_bundle_keeps_a_controller_with_its_trunk(mixture, form, tmp_path):
    mixture.pcm = controller(mixture, form).float()
    mixture.save(tmp_path / "bundle", {})
    loaded = Mixture.load(tmp_path / "bundle").pcm
    assert type(loaded) is type(mixture.pcm)
    state = loaded.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in mixture.pcm.state_dict().items())
    assert (tmp_path / "bundle" / "pcm" / "trunk" / "config.json").exists()
    assert loaded.trunk.prefixes == mixture.pcm.trunk.prefixes
    text = torch.tensor([[5, 6, 7]])
    states = [
        one.trunk.read(torch.zeros(1, 3, 1), text, torch.ones_like(text), ASKED[:1]) for one in (loaded, mixture.pcm)
    ]
    assert torch.equal(*states)


def test_the_training_command_makes_what_it_is_told_to(mixture):
    plain, own = (fresh_controller(mixture, "shared", source, 8, "logit", 2.0) for source in (None, CONFIG))
    assert (plain.trunk.hidden_size, own.trunk.hidden_size) == (32, 16)
    assert isinstance(own.trunk, OwnModel)
    assert (own.width, own.rule, own.max_gate) == (8, "logit", 2.0)
    blind = fresh_controller(mixture, "shared", None, 8, "logit", 2.0, behaviour=False)
    assert isinstance(blind, PreferenceControlModel)
    assert (plain.behaviour, blind.behaviour) == (True, False)
    with pytest.raises(ValueError, match="the published form must have a trunk of its own, got none"):
        fresh_controller(mixture, "published", None, 8, "probability", 3.0)


def test_a_form_that_nobody_knows_is_refused(mixture, tmp_path):
    controller(mixture, "published").save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "form": "prophetic"}))
    with pytest.raises(ValueError, match="must be of one of the forms shared, published, got 'prophetic'"):
        load_controller(tmp_path)


def test_a_trained_model_serves_as_trunk_if_it_has_the_tokenizer_of_the_base(mixture, tmp_path):
    small = tiny_base(mixture.tokenizer, seed=9)
    small.config.max_position_embeddings = 300
    small.save_pretrained(tmp_path / "small")
    mixture.tokenizer.save_pretrained(tmp_path / "small")
    own = own_model(str(tmp_path / "small"), mixture.tokenizer, mixture.dimensions, mixture.window)
    assert torch.equal(own.model.embed_tokens.weight, small.model.embed_tokens.weight)
    other = tiny_tokenizer(tmp_path / "other")
    other.add_tokens(["<new>"])
    other.save_pretrained(tmp_path / "small")
    with pytest.raises(ValueError, match=r"must have the base's tokenizer, got one of .* differs in 1 entries"):
        own_model(str(tmp_path / "small"), mixture.tokenizer, mixture.dimensions, mixture.window)


def test_the_published_form_trains(mixture: Mixture, tmp_path: Path) -> None:
    """Two iterations by Lightning with what `configs/paper/pcm.yaml` says."""
    said = yaml.safe_load(PUBLISHED.read_text("utf-8"))["model"]
    mixture.rule = said["rule"]
    made = fresh_controller(mixture, said["form"], said["trunk"], 64, said["rule"], 3.0)
    assert isinstance(made, PublishedControlModel)
    module = training(mixture, made.double(), beta=said["beta"], learning_rate=said["learning_rate"])
    before = {name: value.clone() for name, value in module.controller.state_dict().items()}
    trainer = quiet_trainer(max_epochs=1, enable_checkpointing=False)
    with warnings.catch_warnings(action="ignore"):
        trainer.fit(module, datamodule=data_in(tmp_path, 3, 2))
    after = module.controller.state_dict()
    moved = {name.split(".")[0] for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved == {"head", "trunk"}
    assert float(trainer.callback_metrics["rollout/gap"]) < 1e-6
    assert all(value.isfinite().all() for value in after.values())


def test_dropout_of_the_trunk_stays_off_in_training(mixture):
    module = training(mixture, controller(mixture, "shared"))
    module.train()
    first = module.rewards(batch(), module.controller)
    assert torch.equal(first, module.rewards(batch(), module.controller))
    assert not module.controller.trunk.model.training
