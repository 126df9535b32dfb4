"""The controller's training on a tiny mixture in which everything is real but the judges."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from tiny_bundle import DIMENSIONS
from torch import Tensor

from decoding.answered import Answered
from decoding.conversation import Conversation
from decoding.rules import rule_named
from decoding.sampling import Sampling
from experts.bank import Reading, Rows
from mixture import Mixture
from pcm.collapse import CollapseWatch, complaints
from pcm.controller import Controller
from pcm.data import Batch, PromptsAndPreferences
from pcm.experience import Experience, Rollout, monitors, read_responses
from pcm.frozen import Prompts
from pcm.model import PreferenceControlModel
from pcm.module import AGAINST, ControllerTraining
from pcm.objective import OBJECTIVES
from pcm.run import CHECKPOINTS
from pcm.standing import half_width

PROMPTS = [[{"role": "user", "content": text}] for text in ("What is a volcano?", "Thank you friend!", "Be short.")]
ASKED = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.5, 0.0], [1.0, 0.0, 0.0]], dtype=torch.double)


class Bank:
    """The mixture's bank as training sees it."""

    def __init__(self, mixture: Mixture) -> None:
        self.bank = mixture.bank

    def __call__(self, input_ids: Tensor, attention_mask: Tensor, asked: Tensor, logits_to_keep: int) -> Reading:
        return self.bank.read(input_ids, attention_mask, Rows.of(asked), logits_to_keep=logits_to_keep)


class Judges:
    """Like tokens with large numbers, each in its own unit; remember what they were asked."""

    names: Sequence[str] = ("friendly", "unfriendly", "concise", "quality")

    def __init__(self) -> None:
        self.needed: list[Tensor] = []

    def score(self, texts: Answered, names: Sequence[str] | None = None, needed: Tensor | None = None) -> Tensor:
        assert names == [*self.names]
        assert needed is not None
        self.needed.append(needed)
        mean = (texts.input_ids * texts.attention_mask).sum(-1) / texts.lengths / 100.0
        return torch.where(needed, mean.unsqueeze(-1) * torch.arange(1.0, 1.0 + len(self.names)), 0.0)

    def to(self, device: torch.device) -> None:
        assert device == torch.device("cpu")  # where everything is


def no_references(conversations: Sequence[Conversation]) -> Tensor:
    return torch.zeros(len(conversations), 4)


def training(mixture: Mixture, controller: Controller | None = None, **settings: Any) -> ControllerTraining:
    torch.manual_seed(0)
    controller = controller or PreferenceControlModel(32, width=8).double()
    settings = {"max_new_tokens": 6, "warmup": 1, "passes": 2, "minibatches": 2, **settings}
    return ControllerTraining(
        controller,
        mixture,
        Bank(mixture),
        Judges(),
        no_references,
        DIMENSIONS,
        **settings,
    )


def batch() -> Batch:
    return Batch(0, PROMPTS, ASKED, [None] * len(PROMPTS))


class StopAfter(Callback):
    """Interrupts a run when an epoch has ended."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs


def data_in(folder: Path, pairs: int, validation_pairs: int) -> PromptsAndPreferences:
    """The prompts, from a file in the folder; two iterations an epoch."""
    folder.mkdir(exist_ok=True)
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps({"messages": prompt}) + "\n" for prompt in PROMPTS))
    return PromptsAndPreferences(
        DIMENSIONS, str(path), str(path), pairs=pairs, iterations=2, validation_pairs=validation_pairs
    )


def quiet_trainer(**settings: Any) -> Trainer:
    """Lightning's on the CPU, without anything to see."""
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **settings,
    )


def checkpoints(folder: Path) -> list[ModelCheckpoint]:
    """What every run keeps."""
    return [ModelCheckpoint(folder, **settings) for settings in CHECKPOINTS.values()]


def fit(
    module: ControllerTraining, folder: Path, *callbacks: Callback, resume: Path | None = None, heard: bool = False
) -> ModelCheckpoint:
    """Trains three epochs of two iterations on the CPU, with the checkpoints of every run."""
    data = data_in(folder, 3, 2)
    best, last = checkpoints(folder)
    with warnings.catch_warnings(action="always" if heard else "ignore"):
        trainer = quiet_trainer(max_epochs=3, callbacks=[best, last, *callbacks])
        trainer.fit(module, datamodule=data, ckpt_path=resume)
    return best


def test_an_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(mixture, tmp_path):
    whole = training(mixture)
    fit(whole, tmp_path / "whole")
    first = training(mixture)
    fit(first, tmp_path / "parts", StopAfter(1))
    second = training(mixture)
    fit(second, tmp_path / "parts", resume=tmp_path / "parts" / "last.ckpt")
    expected, begun = whole.controller.state_dict(), first.controller.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in second.controller.state_dict().items())
    assert not all(torch.equal(value, expected[name]) for name, value in begun.items())


def test_the_last_checkpoint_is_of_the_last_epoch_and_the_best_one_of_the_best(mixture, tmp_path, monkeypatch):
    module = training(mixture)
    worse = iter((3.0, 2.0, 1.0))
    monkeypatch.setattr(module, "on_validation_epoch_end", lambda: module.log("validation/reward", next(worse)))
    with warnings.catch_warnings(action="ignore"):
        trainer = quiet_trainer(max_epochs=3, callbacks=checkpoints(tmp_path))
        trainer.fit(module, datamodule=data_in(tmp_path, 3, 2))
    epochs = {name: torch.load(tmp_path / f"{name}.ckpt", weights_only=True)["epoch"] for name in ("best", "last")}
    assert epochs == {"best": 0, "last": 2}


def test_checkpoints_hold_the_controller_alone(mixture, tmp_path):
    module = training(mixture)
    best = fit(module, tmp_path, StopAfter(1))
    checkpoint = torch.load(best.best_model_path, weights_only=True)
    assert {name.split(".")[0] for name in checkpoint["state_dict"]} == {"controller"}
    assert checkpoint["uniform"][0].shape == (2,)
    assert best.best_model_score is not None


def test_training_reads_what_decoding_decoded(mixture):
    """Else REBEL's ratio would not start at one: a drift between rollout and readings is a silent off-policy bias."""
    input_ids, attention_mask = mixture.encode(PROMPTS)
    generators = [torch.Generator().manual_seed(row) for row in range(3)]
    drawn = mixture.rollout(input_ids, attention_mask, ASKED, Sampling(max_new_tokens=9), generators)
    experience = read_responses(Bank(mixture), input_ids, attention_mask, drawn.tokens, drawn.mask, ASKED, chunk=2)
    logprobs, log_weights = experience.mixed(rule_named(mixture.rule), mixture.pcm)
    torch.testing.assert_close(experience.chosen(logprobs), drawn.logprobs[drawn.mask.bool()], atol=1e-6, rtol=0)
    assert experience.expert_logprobs.shape[1] == 2  # no request asks for more
    assert torch.equal(experience.asked.sum(-1), ASKED.sum(-1)[experience.response])
    totals = experience.summed(experience.chosen(logprobs), 3)
    torch.testing.assert_close(totals, (drawn.logprobs * drawn.mask).sum(-1), atol=1e-5, rtol=0)
    assert torch.equal(log_weights > -torch.inf, experience.asked > 0)


def test_only_quality_and_what_is_asked_for_is_judged(mixture):
    module = training(mixture)
    module.rewards(batch(), None)
    judges = module.frozen.rewards
    assert isinstance(judges, Judges)
    assert torch.equal(judges.needed[0], torch.cat((ASKED > 0, torch.ones(3, 1).bool()), -1))


def test_where_nobody_judges_quality_it_counts_as_one(mixture, tmp_path, monkeypatch):
    monkeypatch.setattr(Judges, "names", ("friendly", "unfriendly", "concise"))
    module = training(mixture, leniency=1.5, beta=0.0)
    module.references = lambda conversations: torch.zeros(len(conversations), 3)
    drawn = mixture.rollout(*mixture.encode(PROMPTS), ASKED, module.drawing, module.generators(0, len(PROMPTS)))
    scores = module.frozen.scores(batch(), drawn)
    assert scores.shape == (3, 3)
    worth = module.judge(batch(), scores, module.beaten(batch()))
    torch.testing.assert_close(worth.double(), (ASKED * scores.sigmoid()).sum(-1).double())
    fit(module, tmp_path, StopAfter(1))
    assert bool(module.controller.score.weight.any())


def test_an_answer_as_far_behind_the_base_as_it_may_be_loses_half_of_its_worth(mixture):
    module = training(mixture, leniency=1.5)
    module.references = lambda conversations: torch.tensor([[0.0, 0.0, 0.0, 2.0]]).repeat(len(conversations), 1)
    module.frozen.rewards.score = lambda *_: torch.tensor([[200.0, 200.0, 200.0, 0.5]]).repeat(3, 1)  # type: ignore[method-assign]
    drawn = mixture.rollout(*mixture.encode(PROMPTS), ASKED, module.drawing, module.generators(0, len(PROMPTS)))
    scores = module.frozen.scores(batch(), drawn)
    torch.testing.assert_close(module.judge(batch(), scores, module.beaten(batch())).double(), ASKED.sum(-1) / 2)


@pytest.mark.parametrize("name", ["reward_temperature", "temperature"])
def test_temperatures_are_above_zero(mixture, name):
    with pytest.raises(ValueError, match=f"^{name} must be above 0, got 0"):
        training(mixture, **{name: 0})


def test_judges_do_not_hear_what_the_mixture_is_told(mixture):
    module = training(mixture)
    plain, told = batch(), replace(batch(), words=["be warm"] * len(PROMPTS))
    heard = mixture.encode(told.heard)
    assert heard[0].shape[1] > mixture.encode(PROMPTS)[0].shape[1]
    drawn = mixture.rollout(*heard, ASKED, module.drawing, module.generators(0, len(PROMPTS)))
    worth = [module.judge(one, module.frozen.scores(one, drawn), module.beaten(one)) for one in (told, plain)]
    assert torch.equal(*worth)
    assert not torch.equal(module.rewards(told, None), module.rewards(plain, None))


def test_responses_can_be_measured_against_what_the_uniform_mixture_answers_to_the_same_wish(mixture):
    module = training(mixture)
    module.references = None
    torch.nn.init.normal_(module.controller.score.weight, std=3.0)
    beaten = module.beaten(batch())
    assert mixture.pcm is module.controller
    mixture.pcm = None
    generators = module.generators(AGAINST, len(PROMPTS))
    drawn = mixture.rollout(*mixture.encode(PROMPTS), ASKED, module.drawing, generators)
    scores = module.frozen.scores(batch(), drawn)
    assert torch.equal(beaten, scores)
    torch.testing.assert_close(module.judge(batch(), scores, beaten).double(), ASKED.sum(-1) / 4)  # half of half of it


def test_processes_are_measured_together_against_what_one_process_would_draw(mixture):
    module = training(mixture)
    module.references = None
    whole = Batch(0, PROMPTS * 2, ASKED.repeat(2, 1), [None] * 6)
    expected = module.beaten(whole, together=True)
    assert not torch.equal(expected[:3], expected[3:])
    for rank in range(2):
        module._trainer = SimpleNamespace(global_rank=rank, world_size=2)
        torch.testing.assert_close(module.beaten(batch(), together=True), expected[3 * rank :][:3])
        assert torch.equal(module.beaten(batch()), expected[:3])  # in validation each has everything


def test_a_policy_at_a_temperature_is_mixed_first_and_tempered_after(mixture):
    module = training(mixture, temperature=0.5)
    input_ids, attention_mask = mixture.encode(PROMPTS)
    drawn = mixture.rollout(input_ids, attention_mask, ASKED, module.drawing, module.generators(0, 3))
    assert module.drawing.temperature == 0.5
    experience = module.frozen.read(Prompts(input_ids, attention_mask, ASKED), drawn, places_matter=False)
    old, divergence, seen = module.look(experience, drawn)
    mixed, _ = experience.mixed(rule_named("anchored"), module.controller)
    weights = mixed.exp() ** 2
    expected = (weights / weights.sum(-1, keepdim=True)).log()
    torch.testing.assert_close(old, experience.chosen(expected))
    torch.testing.assert_close(divergence, experience.divergence(expected, 3))
    assert float(seen["rollout/gap"]) < 1e-6
    reward, first = torch.tensor([1.0, 0.0, 0.0]).double(), torch.tensor([0])
    loss = module.loss(experience, old, reward, first, first + 1)
    torch.testing.assert_close(loss, torch.tensor(module.eta**2).double())  # nothing has moved yet


def test_the_uniform_mixture_is_measured_without_the_controller_which_comes_back(mixture):
    module = training(mixture)
    untrained = module.rewards(batch(), module.controller)
    assert torch.equal(module.rewards(batch(), None), untrained)
    torch.nn.init.normal_(module.controller.score.weight, std=3.0)
    assert not torch.equal(module.rewards(batch(), module.controller), untrained)
    assert mixture.pcm is module.controller


def test_validation_pays_for_leaving_the_base_as_training_does(mixture):
    free, dear = training(mixture, beta=0.0), training(mixture, beta=0.5)
    paid = (free.rewards(batch(), None) - dear.rewards(batch(), None)) / 0.5
    input_ids, attention_mask = mixture.encode(PROMPTS)
    drawn = mixture.rollout(input_ids, attention_mask, ASKED, free.validating, free.generators(-1, 3))
    experience = read_responses(Bank(mixture), input_ids, attention_mask, drawn.tokens, drawn.mask, ASKED)
    logprobs, _ = experience.mixed(rule_named("anchored"), None)
    token_by_token = (logprobs.exp() * (logprobs - experience.base_logprobs)).sum(-1)
    expected = [float(token_by_token[experience.response == request].sum()) for request in range(3)]
    assert paid.tolist() == pytest.approx(expected, abs=1e-6)
    assert min(expected) > 0


def test_the_divergence_is_what_drawn_responses_pay_on_average(mixture):
    input_ids, attention_mask = mixture.encode(PROMPTS)
    tokens = torch.tensor([[5, 6, 7]] * 3)
    experience = read_responses(Bank(mixture), input_ids, attention_mask, tokens, torch.ones_like(tokens), ASKED)
    count = len(experience.tokens)
    alone = replace(experience, response=torch.arange(count))
    logprobs, _ = alone.mixed(rule_named("anchored"), None)
    paid = torch.zeros(count, dtype=torch.double)
    for token in range(logprobs.shape[-1]):
        drawn = replace(alone, tokens=torch.full((count,), token))
        chosen = drawn.chosen(logprobs)
        paid += chosen.exp() * drawn.log_ratio(chosen, count)
    torch.testing.assert_close(paid, alone.divergence(logprobs, count), atol=1e-7, rtol=1e-6)


class Indifferent(Judges):
    """Like every response alike."""

    def score(self, texts: Answered, names: Sequence[str] | None = None, needed: Tensor | None = None) -> Tensor:
        return 0 * super().score(texts, names, needed)


def test_a_controller_that_is_paid_for_nothing_returns_to_the_base(mixture, tmp_path):
    """The divergence of a place does not depend on the token drawn there: as a reward it would teach nothing."""
    module = training(mixture, beta=1.0, learning_rate=2e-2)
    module.frozen = replace(module.frozen, rewards=Indifferent())
    assert module.rewards(batch(), module.controller).mean() < -5  # every response is worth 0.25 or 0.5, less its nats
    fit(module, tmp_path)
    assert module.rewards(batch(), module.controller).mean() > 0


def experienced(module: ControllerTraining, mixture: Mixture) -> tuple[Rollout, Experience]:
    """Two responses to each prompt, and what was read of them."""
    input_ids, attention_mask = (tensor.repeat(2, 1) for tensor in mixture.encode(PROMPTS))
    asked = ASKED.repeat(2, 1)
    drawn = mixture.rollout(input_ids, attention_mask, asked, module.drawing, module.generators(0, 6))
    return drawn, read_responses(Bank(mixture), input_ids, attention_mask, drawn.tokens, drawn.mask, asked)


def test_the_drawn_tokens_alone_are_enough_for_the_rule_that_mixes_each_by_itself(mixture):
    mixture.rule = "probability"
    module = training(mixture)
    drawn, experience = experienced(module, mixture)
    old, _, _ = module.look(experience, drawn)
    reward, pairs = torch.rand(6, dtype=torch.double), torch.arange(3)
    torch.nn.init.normal_(module.controller.score.weight)
    found = []
    for known in (experience, experience.drawn_alone()):
        module.controller.zero_grad()
        loss = module.loss(known, old, reward, pairs, pairs + 3)
        loss.backward()
        found.append((loss.detach(), module.controller.score.weight.grad.clone()))
    assert experience.drawn_alone().expert_logprobs.shape[-1] == 1
    assert float(found[0][1].abs().max()) > 0
    for whole, short in zip(*found, strict=True):
        torch.testing.assert_close(short, whole, atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("rule", "temperature", "exact"),
    [("probability", 1.0, True), ("probability", 0.5, False), ("anchored", 1.0, False)],
)
def test_passes_take_the_drawn_tokens_alone_where_this_is_exact(mixture, rule, temperature, exact):
    mixture.rule = rule
    module = training(mixture, temperature=temperature)
    _, experience = experienced(module, mixture)
    assert (module.needed(experience).base_logprobs.shape[-1] == 1) is exact


def test_the_loss_of_all_pairs_is_the_mean_over_its_parts(mixture):
    module = training(mixture)
    drawn, experience = experienced(module, mixture)
    old, divergence, seen = module.look(experience, drawn)
    reward, pairs = torch.rand(6, dtype=torch.double), torch.arange(3)
    torch.nn.init.normal_(module.controller.score.weight)
    parts = [module.loss(experience, old, reward, pairs[i : i + 1], pairs[i : i + 1] + 3) for i in range(3)]
    whole = module.loss(experience, old, reward, pairs, pairs + 3)
    torch.testing.assert_close(whole, torch.stack(parts).mean(), atol=1e-9, rtol=0)
    assert (divergence > 0).all()
    assert float(seen["rollout/gap"]) < 1e-6
    whole.backward()
    assert all(parameter.grad.isfinite().all() for parameter in module.controller.parameters())


def test_monitors_show_a_controller_that_believes_in_one_expert(mixture):
    input_ids, attention_mask = mixture.encode(PROMPTS[:1])
    tokens = torch.tensor([[5, 6, 7, 8]])
    asked = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.double)
    experience = read_responses(Bank(mixture), input_ids, attention_mask, tokens, torch.ones_like(tokens), asked)
    rule = rule_named("anchored")
    uniform, log_weights = experience.mixed(rule, None)
    seen = monitors(experience, log_weights, uniform, rule, mixture.names)
    assert float(seen["weights/entropy"]) == pytest.approx(0.6931, abs=1e-4)
    assert float(seen["weights/evenness"]) == pytest.approx(1.0)
    assert float(seen["share/friendly"]) == pytest.approx(1.0)
    assert float(seen["weights/moved"]) == 0.0
    collapsed = torch.tensor([[3.0, 1e-9]]).log().expand(4, 2)
    one = rule(experience.base_logprobs, experience.expert_logprobs, collapsed.double())
    seen = monitors(experience, collapsed, one, rule, mixture.names)
    assert float(seen["weights/entropy"]) < 1e-6
    assert float(seen["weights/friendly"]) == pytest.approx(3.0)
    assert float(seen["share/friendly"]) == pytest.approx(2.0)
    assert list(complaints({name: float(value) for name, value in seen.items()})) == [
        "weights/evenness",
        "share/concise",
    ]
    assert "weights/unfriendly" not in seen


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_trains_the_controller(mixture, tmp_path, objective):
    module = training(mixture, objective=objective)
    before = {name: value.clone() for name, value in module.controller.state_dict().items()}
    fit(module, tmp_path, StopAfter(1))
    after = module.controller.state_dict()
    assert all(value.isfinite().all() for value in after.values())
    assert not torch.equal(before["score.weight"], after["score.weight"])
    assert module.objective is OBJECTIVES[objective]


def test_a_collapse_that_stays_is_warned_of_in_training(mixture, tmp_path):
    """Learning nothing at all is the collapse that is easily made."""
    module = training(mixture, learning_rate=0.0)
    module.watch = CollapseWatch(patience=3)
    with pytest.warns(UserWarning, match="the controller changes nothing: only 0.00% of the tokens"):
        fit(module, tmp_path, heard=True)


def test_a_judge_that_gives_no_number_is_refused(mixture):
    module = training(mixture)
    module.references = lambda conversations: torch.full((len(conversations), 4), 0.0)
    module.frozen.rewards.score = lambda *_: torch.full((3, 4), float("nan"))  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="rewards must be finite, got 12"):
        module.rewards(batch(), None)


def test_half_a_width_is_the_normal_interval():
    assert float(half_width(torch.tensor([0.0, 1.0, 0.0, 1.0]))) == pytest.approx(1.96 * 0.57735 / 2, abs=1e-4)
    assert float(half_width(torch.tensor([0.3]))) == 0.0
