from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning import Callback
from tiny_exam import CONFIG, END, FAVOURITES, PAD, CountingRewards, run, tiny_base, tiny_exam, trained_looking, weights

from experts.bank import ExpertBank
from experts.checkpoints import LastCheckpoint
from experts.exam import Exam
from experts.joint import JointPPO
from experts.prompts import PromptStream
from experts.references import fingerprint, load_references, sample_references, save_references
from experts.rollout import Responses, reread
from experts.train import _loggers, command_parser, fit

pytestmark = [
    pytest.mark.filterwarnings("ignore:Found .* in eval mode"),
    pytest.mark.filterwarnings("ignore:.*treespec, LeafSpec.*"),
]
CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(scope="module")
def bank():
    bank = ExpertBank(tiny_base())
    for name in ("ant", "bee"):
        bank.add(name, CONFIG)
    return trained_looking(bank)


def test_marks_compare_with_the_reference_and_punish_a_missing_end():
    exam = tiny_exam(quality_weight=3.0, missing_end_penalty=0.5)
    answers = exam.sit(torch.tensor([4, 1]), [torch.Generator().manual_seed(seed) for seed in range(3)])
    assert answers.prompt_numbers.tolist() == [4, 1] * 3
    for row in range(6):
        prompt, name = int(answers.prompt_numbers[row]), exam.bank.names[int(answers.experts[row])]
        text = torch.cat([exam.prompts[prompt], answers.tokens[row][answers.mask[row].bool()]])
        reference = exam.references.scores[prompt]
        own, quality = (
            torch.sigmoid((text == FAVOURITES[name]).sum() - reference[exam.rewards.names.index(name)])
            for name in (name, "quality")
        )
        torch.testing.assert_close(answers.own[row], own)
        torch.testing.assert_close(answers.total[row], own + 3 * quality - 0.5 * (not answers.ended[row]))


def test_softened_marks_are_of_divided_scores_and_quality_may_fall_behind():
    plain, soft = (
        tiny_exam(repetition_penalty=0.0, **settings) for settings in ({}, {"reward_temperature": 2.5, "leniency": 1.5})
    )
    sat = [
        exam.sit(torch.tensor([4, 1]), [torch.Generator().manual_seed(seed) for seed in range(3)])
        for exam in (plain, soft)
    ]
    assert torch.equal(sat[0].tokens, sat[1].tokens)
    torch.testing.assert_close(sat[1].own.logit(), sat[0].own.logit() / 2.5)
    torch.testing.assert_close(sat[1].quality.logit(), (sat[0].quality.logit() + 1.5) / 2.5)
    worth = sat[1].own + plain.quality_weight * sat[1].quality - (~sat[1].ended).to(sat[1].own)
    torch.testing.assert_close(sat[1].total, worth)


def test_scores_are_divided_by_something():
    with pytest.raises(ValueError, match="reward_temperature must be above 0, got 0"):
        tiny_exam(reward_temperature=0)


def test_what_an_answer_says_again_costs_it_the_share_of_its_tokens(monkeypatch):
    exams = [tiny_exam(("ant",), missing_end_penalty=0.0, repetition_penalty=penalty) for penalty in (0.0, 3.0)]
    said = torch.tensor([[5, 6, 7, 8, 9, 5, 6, 7, 8, 10]])
    ones, states = torch.ones(1, 10, dtype=torch.float64), torch.zeros(1, 10, 16, dtype=torch.float64)
    given = Responses(said, ones, torch.zeros_like(ones), states, torch.tensor([True]))
    monkeypatch.setattr("experts.exam.sample_by_length", lambda *sampled: given)
    plain, punished = (exam.sit(torch.tensor([4]), [torch.Generator().manual_seed(0)]) for exam in exams)
    torch.testing.assert_close(plain.total - punished.total, torch.tensor([3 / 10], dtype=plain.total.dtype))


class WithoutQuality(CountingRewards):
    names = ("ant", "bee")


def test_an_exam_without_a_judge_of_quality_marks_by_the_own_reward_alone(monkeypatch):
    judged = tiny_exam(("ant",), quality_weight=0.0)
    monkeypatch.setattr("tiny_exam.CountingRewards", WithoutQuality)
    exam = tiny_exam(("ant",), quality_weight=0.0)
    generators = [torch.Generator().manual_seed(0)]
    answers = exam.sit(torch.tensor([4, 1]), generators)
    assert answers.quality.isnan().all()
    assert torch.equal(answers.total, judged.sit(torch.tensor([4, 1]), [torch.Generator().manual_seed(0)]).total)
    with pytest.raises(ValueError, match="a reward called 'quality' or quality_weight 0, got 2"):
        tiny_exam(("ant",), quality_weight=2.0)


def test_each_answer_draws_a_budget_of_its_own_between_the_two():
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 1, 0)]
    budgets, _ = tiny_exam(least_budget=6, most_budget=10)._draw(100, generators, slice(None))
    ant, bee, again = budgets.view(3, 100)
    assert set(ant.tolist()) == {6, 7, 8, 9, 10}
    assert torch.equal(ant, again)
    assert not torch.equal(ant, bee)


def trajectories_of(module):
    answers = module.exam.sit(torch.arange(4), module.generators)
    return module.ledger.trajectories(answers, module.values_of(answers))


def stepped(module, prompt_numbers):
    """The module after one update without a trainer."""
    optimizer = module.configure_optimizers()
    module.optimizers = lambda: optimizer
    module.log_dict = lambda *_, **__: None
    module.training_step(prompt_numbers)
    return module


def test_equally_good_answers_earn_the_same_however_hard_their_references_are(monkeypatch):
    exam = tiny_exam(missing_end_penalty=0.0, repetition_penalty=0.0)
    exam.held[0, 1] = True
    monkeypatch.setattr(exam.rewards, "score", lambda texts, needed: torch.full(needed.shape, 1.5).double())
    module = JointPPO(exam, kl_coefficient=0.0)
    module.ledger.prices[0, 1] = 0.7
    answers = exam.sit(torch.arange(6), module.generators)
    assert answers.total.std() > 0.05  # the references are not equally hard
    trajectories = module.ledger.trajectories(answers, torch.zeros_like(answers.logprobs))
    torch.testing.assert_close(trajectories.returns, torch.zeros_like(trajectories.returns))
    torch.testing.assert_close(module.ledger.foreseen(answers), torch.ones(3).double())


def test_training_one_expert_leaves_the_bits_of_the_others_alone():
    module = stepped(JointPPO(tiny_exam(), weight_decay=0.1), torch.arange(4))  # momentum for everybody
    trajectories = trajectories_of(module)
    before = weights(module)
    module._backward(trajectories, torch.arange(12).view(3, 4)[[1]])
    module._step(torch.tensor([False, True, False]))
    for name, weight in weights(module).items():
        assert torch.equal(weight, before[name]) == (not name.startswith("bee")), name


def test_an_expert_that_moved_too_far_sits_out_the_rest_of_the_rollout():
    module = stepped(JointPPO(tiny_exam(), learning_rate=0.0, stop_kl=-1.0), torch.arange(4))
    trajectories = trajectories_of(module)
    assert module.improve(trajectories)["steps"].tolist() == [0, 0, 0]
    module.stop_kl = 0.1
    assert module.improve(trajectories)["steps"].tolist() == [4, 4, 4]


def test_an_expert_learns_from_each_of_its_answers_once_in_every_epoch():
    module = JointPPO(tiny_exam(), epochs=3, minibatches=2)
    minibatches = list(module._minibatch_rows(trajectories_of(module)))
    assert len(minibatches) == 6
    epochs = [torch.cat(minibatches[start : start + 2], dim=1) for start in (0, 2, 4)]
    for rows in epochs:
        assert torch.equal(rows.sort(dim=1).values, torch.arange(12).view(3, 4))
    assert not torch.equal(epochs[0], epochs[1])


def test_a_long_gradient_of_one_expert_shortens_no_other():
    module = JointPPO(tiny_exam(("ant", "bee")), largest_norm=1.0)
    module.optimizers = lambda: SimpleNamespace(step=lambda: None)
    sizes = 100.0, 1e-6
    for parameters, size in zip(module.parameters_of_experts(), sizes, strict=True):
        for parameter in parameters:
            parameter.grad = torch.full_like(parameter, size)
    module._step(torch.tensor([True, True]))
    ant, bee = module.parameters_of_experts()
    squares = sum(parameter.grad.square().sum() for parameter in ant)
    torch.testing.assert_close(squares.sqrt(), torch.ones_like(squares), rtol=1e-6, atol=0)
    assert all((parameter.grad == 1e-6).all() for parameter in bee)


def test_an_expert_trained_beside_others_ends_as_it_would_alone(tmp_path):
    together = JointPPO(tiny_exam(("ant", "bee", "cat")), updates=2)
    alone = JointPPO(tiny_exam(("bee",)), updates=2)
    run(together, tmp_path)
    run(alone, tmp_path)
    everybody = weights(together)
    for name, weight in weights(alone).items():
        torch.testing.assert_close(weight, everybody[name], rtol=1e-8, atol=1e-10)


def test_a_minibatch_in_four_parts_has_the_gradient_of_one_part():
    gradients = []
    for parts in (1, 4):
        module = JointPPO(tiny_exam(), parts=parts)
        optimizer = module.configure_optimizers()
        module.optimizers = lambda o=optimizer: o
        trajectories = trajectories_of(module)
        module._backward(trajectories, torch.arange(12).view(3, 4))
        gradients.append([weight.grad for group in module.parameters_of_experts() for weight in group])
    for whole, summed in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, summed, rtol=1e-9, atol=1e-12)
        assert whole.any()


def test_the_loss_is_the_naive_sum_over_tokens():
    module = stepped(JointPPO(tiny_exam(), learning_rate=5e-3), torch.arange(4))  # so that values and ratios differ
    answers = module.exam.sit(torch.arange(4), module.generators)
    part = module.ledger.trajectories(answers, module.values_of(answers))._replace(
        logprobs=answers.logprobs - 0.3 * torch.rand(answers.logprobs.shape)
    )
    tokens, expected = torch.tensor([20.0, 30.0, 50.0]).double(), 0.0
    for row, expert in enumerate(part.experts.tolist()):
        one = part.rows(torch.tensor([row]))
        logits, hidden = reread(module.bank, one.prompt_ids, one.prompt_mask, one.tokens, one.mask, one.experts)
        for step in range(one.tokens.shape[1]):
            probabilities = logits[0, step].softmax(-1)
            ratio = probabilities[one.tokens[0, step]] / one.logprobs[0, step].exp()
            gain = torch.minimum(ratio * one.advantages[0, step], ratio.clamp(0.8, 1.2) * one.advantages[0, step])
            value = hidden[0, step] @ module.values.weights[expert] / 4 + module.values.biases[expert]  # the root of 16
            near = one.values[0, step] + (value - one.values[0, step]).clamp(-0.2, 0.2)
            error = torch.stack([value, near]).sub(one.returns[0, step]).square().max() / 2
            surprise = -(probabilities * probabilities.log()).sum()
            expected += (-gain + 0.1 * error - 0.003 * surprise) / tokens[expert]
    torch.testing.assert_close(module._loss(part, tokens)[0], expected)


def test_the_learning_rate_falls_linearly_to_zero():
    module = stepped(JointPPO(tiny_exam(("ant",)), updates=4, learning_rate=0.5), torch.arange(4))
    assert [group["lr"] for group in module.optimizers().param_groups] == [0.5]
    for expected in (0.375, 0.25, 0.125):
        module.training_step(torch.arange(4))
        assert module.optimizers().param_groups[0]["lr"] == expected


class Killed(Exception):  # noqa: N818 - not an error of ours
    pass


class Killer(Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if batch_idx == 2:
            raise Killed


def test_a_killed_run_that_is_resumed_ends_with_the_same_weights(tmp_path):
    uninterrupted = JointPPO(tiny_exam(), updates=5)
    run(uninterrupted, tmp_path)
    checkpoint = tmp_path / "last.ckpt"
    with pytest.raises(Killed):
        run(JointPPO(tiny_exam(), updates=5), tmp_path, LastCheckpoint(checkpoint, every=2), Killer())
    resumed = JointPPO(tiny_exam(), updates=5)
    run(resumed, tmp_path, checkpoint=checkpoint)
    assert resumed.updates_done == 5
    assert torch.equal(resumed.ledger.kl_coefficients, uninterrupted.ledger.kl_coefficients)
    expected = weights(uninterrupted)
    for name, weight in weights(resumed).items():
        assert torch.equal(weight, expected[name]), name


def test_a_checkpoint_holds_only_what_is_trained(tmp_path):
    module = JointPPO(tiny_exam(), updates=1)
    run(module, tmp_path, LastCheckpoint(tmp_path / "last.ckpt", every=1))
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    numbers = sum(tensor.numel() for tensor in kept.values())
    controlled = module.ledger.kl_coefficients.numel() + module.ledger.prices.numel()
    assert numbers == sum(weight.numel() for weight in weights(module).values()) + controlled


def test_a_checkpoint_of_other_experts_is_refused(tmp_path):
    run(JointPPO(tiny_exam(("ant",)), updates=1), tmp_path, LastCheckpoint(tmp_path / "last.ckpt", every=1))
    with pytest.raises(ValueError, match="must train \\['bee'\\], got \\['ant'\\]"):
        run(JointPPO(tiny_exam(("bee",)), updates=1), tmp_path, checkpoint=tmp_path / "last.ckpt")


@pytest.mark.parametrize("changed", ["prompts", "shares", "rewards"])
def test_a_checkpoint_is_of_its_prompts_and_rewards_whatever_their_files_are_called(changed, monkeypatch):
    module, checkpoint = JointPPO(tiny_exam(("ant",))), {}
    checkpoint["state_dict"] = module.state_dict()
    module.on_save_checkpoint(checkpoint)
    JointPPO(tiny_exam(("ant",))).on_load_checkpoint(checkpoint)
    other = JointPPO(tiny_exam(("ant",)))
    if changed == "prompts":
        other.exam.prompts[1] = other.exam.prompts[1].flip(0)
    elif changed == "shares":
        other.exam.shares = other.exam.shares.roll(1, dims=-1)
    else:
        monkeypatch.setattr(CountingRewards, "version", "another file")
    with pytest.raises(ValueError, match="must be of these prompts and rewards, got one of others"):
        other.on_load_checkpoint(checkpoint)
    del checkpoint["exam"]  # an earlier version wrote none
    other.on_load_checkpoint(checkpoint)


def test_a_checkpoint_that_knows_no_prices_is_refused(tmp_path):
    path = tmp_path / "last.ckpt"
    run(JointPPO(tiny_exam(("ant",)), updates=1), tmp_path, LastCheckpoint(path, every=1))
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint["state_dict"]["ledger.prices"]
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=r"must hold \['ledger.prices'\], got none"):
        run(JointPPO(tiny_exam(("ant",)), updates=2), tmp_path, checkpoint=path)


def test_an_expert_learns_to_earn_more(tmp_path):
    earned = []

    class Record(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            earned.append(float(outputs["metrics"]["reward"]))

    exam = tiny_exam(("ant",), quality_weight=0.0, missing_end_penalty=0.0)
    exam.prompts = exam.prompts * 4
    exam.references = exam.references._replace(scores=exam.references.scores.repeat(4, 1))
    exam.shares = exam.shares.repeat(1, 4, 1)
    module = JointPPO(exam, updates=14, learning_rate=2e-2, kl_coefficient=0.0, minibatches=1, parts=1, epochs=4)
    run(module, tmp_path, Record(), prompts=24)
    assert sum(earned[-3:]) / 3 > sum(earned[:3]) / 3 + 0.15


def test_every_prompt_comes_once_per_pass_and_a_stream_goes_on_where_it_was():
    stream = PromptStream(prompts=6, batch_size=2, batches=6)
    batches = list(stream)
    for passes in (batches[:3], batches[3:]):
        assert torch.cat(passes).sort().values.tolist() == list(range(6))
    assert torch.cat(batches[:3]).tolist() != torch.cat(batches[3:]).tolist()
    resumed = PromptStream(prompts=6, batch_size=2, batches=6)
    resumed.load_state_dict({"position": 4})
    assert [batch.tolist() for batch in resumed] == [batch.tolist() for batch in batches[4:]]


def test_another_seed_asks_in_another_order(tmp_path):
    asked = []
    trainer = SimpleNamespace(fit=lambda module, stream, **settings: asked.append(stream))
    for seed in (0, 7):
        fit(trainer, JointPPO(tiny_exam(("ant",)), updates=3, seed=seed), 2, tmp_path)
    assert [stream.seed for stream in asked] == [0, 7]
    assert asked[0].batch(0).tolist() != asked[1].batch(0).tolist()


def test_references_are_kept_until_what_they_are_made_from_changes(tmp_path, bank):
    prompts, rewards = [torch.tensor([5, 6]), torch.tensor([7])], CountingRewards()
    references = sample_references(bank, rewards, prompts, end_id=END, pad_id=PAD, max_new_tokens=4, batch_size=1)
    made_from = fingerprint(bank, rewards, prompts, 0, 8, 1)
    save_references(references, tmp_path / "references.safetensors", made_from)
    kept = load_references(tmp_path / "references.safetensors", made_from)
    assert all(torch.equal(first, second) for first, second in zip(kept, references, strict=True))
    (tmp_path / "plain").touch()  # several runs share them, and safetensors writes files that nobody else can read
    assert (tmp_path / "references.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode
    other = fingerprint(bank, rewards, [*prompts, torch.tensor([1])], 0, 8, 1)
    drawn_otherwise = [fingerprint(bank, rewards, prompts, *drawn) for drawn in ((1, 8, 1), (0, 9, 1), (0, 8, 2))]
    assert len({made_from, other, *drawn_otherwise}) == 5
    assert other != made_from
    assert load_references(tmp_path / "references.safetensors", other) is None
    assert load_references(tmp_path / "nothing.safetensors", made_from) is None


def test_what_an_exam_lacks_is_named():
    exam = tiny_exam(("ant",))
    with pytest.raises(ValueError, match="least <= most, got 5 and 4"):
        tiny_exam(("ant",), least_budget=5, most_budget=4)
    with pytest.raises(ValueError, match="each of 1 prompts must have a reference, got 6"):
        Exam(exam.bank, exam.rewards, exam.references, exam.prompts[:1], END, PAD)
    exam.bank.add("dog", CONFIG)
    with pytest.raises(ValueError, match="none for \\['dog'\\]"):
        Exam(exam.bank, exam.rewards, exam.references, exam.prompts, END, PAD)


def test_the_configuration_parses_against_the_command():
    config = command_parser().parse_args(["--config", str(CONFIGS / "miniature" / "experts.yaml")])
    assert config.exam.quality_weight > 0
    with pytest.raises(SystemExit):
        command_parser().parse_args(["--config", str(CONFIGS / "miniature" / "experts.yaml"), "--ppo.speed", "9"])


def test_weights_and_biases_is_used_only_where_it_is_asked_for(tmp_path, monkeypatch):
    assert [type(logger).__name__ for logger in _loggers(tmp_path, None)] == ["CSVLogger", "TensorBoardLogger"]
    asked = []
    monkeypatch.setattr("experts.train.WandbLogger", lambda **given: asked.append(given) or "wandb")
    assert _loggers(tmp_path, "mine")[2] == "wandb"
    assert asked == [{"project": "mine", "save_dir": tmp_path}]

    def missing(**given):
        raise ModuleNotFoundError

    monkeypatch.setattr("experts.train.WandbLogger", missing)
    with pytest.raises(ValueError, match="wandb must be installed where wandb_project is given"):
        _loggers(tmp_path, "mine")


@pytest.mark.parametrize("wrong", [("--precision", "16-mixed"), ("--strategy", "fsdp"), ("--guards.patient", "3")])
def test_what_would_train_wrongly_is_refused(wrong):
    with pytest.raises(SystemExit):
        command_parser().parse_args(["--config", str(CONFIGS / "miniature" / "experts.yaml"), *wrong])
