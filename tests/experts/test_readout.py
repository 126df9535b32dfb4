import datasets
import pytest
import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from test_rewards import favouring_pairs, side_of, word_tokenizer
from tiny_exam import PAD, tiny_base, tiny_classifier

from decoding.answered import Answered
from experts import readout
from experts.pair_tokens import tokenize_pairs
from experts.readout import SCALES, SURPRISING, EvidenceClassifier, evidence
from experts.reward_learning import train_reward
from experts.rewards import RewardModels

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated")  # inside TRL and PEFT


@pytest.fixture(scope="module")
def texts():
    """More rows than are read at once, of different lengths."""
    ids = torch.randint(3, 40, (20, 9), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(9)[None] < torch.tensor([9, 4, 7, 2, 8] * 4)[:, None]).long()
    answers = torch.tensor([5, 2, 6, 0, 3] * 4)
    return Answered(torch.where(mask.bool(), ids, PAD), mask, answers)


def test_evidence_is_what_a_loop_over_the_tokens_of_the_answer_gathers(texts, monkeypatch):
    monkeypatch.setattr(readout, "TOKENS_AT_ONCE", 7)
    base = tiny_base()
    hidden = base.model(input_ids=texts.input_ids, attention_mask=texts.attention_mask).last_hidden_state.detach()
    read = evidence(hidden, texts, base.lm_head.weight)
    for row, (length, answer) in enumerate(zip(texts.lengths.tolist(), texts.answer_lengths.tolist(), strict=True)):
        states, mean, likely = hidden[row], torch.zeros(16, dtype=torch.float64), []
        for token in range(length - answer, length):
            mean += states[token] / answer
            logprobs = (base.lm_head.weight @ states[token - 1]).log_softmax(-1)
            likely.append(logprobs[texts.input_ids[row, token]].item())
        surprising = sum(logprob < SURPRISING for logprob in likely)
        numbers = torch.tensor([sum(likely) / max(answer, 1), min(likely, default=0.0), surprising, answer, 0])
        torch.testing.assert_close(read[row], torch.cat([states[length - 1], mean, numbers * torch.tensor(SCALES)]))


def test_what_is_said_again_counts_as_repeated_and_not_as_new(texts):
    base = tiny_base()
    ids = torch.tensor([[9, 5, 6, 7, 8, 5, 6, 7, 8, 5]])
    read = evidence(
        torch.zeros(1, 10, 16).double(), Answered(ids, torch.ones_like(ids), torch.tensor([9])), base.lm_head.weight
    )
    assert read[0, -2:].tolist() == pytest.approx([SCALES[3] * 7, SCALES[4] * 2 / 9])


def test_what_was_asked_changes_no_evidence_but_through_the_states(texts):
    base = tiny_base()
    hidden = torch.randn(20, 9, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    other = texts._replace(input_ids=torch.where(texts.in_answer(), texts.input_ids, 39))
    read = [evidence(hidden, some, base.lm_head.weight) for some in (texts, other)]
    assert torch.equal(*read)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A classifier over evidence with an adapter, and the folder it was saved in."""
    folder = tmp_path_factory.mktemp("rewards")
    config = LoraConfig(task_type=TaskType.SEQ_CLS, r=2, lora_alpha=6, target_modules="all-linear")
    model = get_peft_model(EvidenceClassifier(tiny_base()), config, autocast_adapter_dtype=False)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    model.save_pretrained(folder / "quality")
    return model.eval(), folder


def test_a_stored_head_over_evidence_scores_as_it_was_trained(trained, texts, tmp_path):
    model, folder = trained
    expected = model(**texts._asdict()).logits[:, 0]
    rewards = RewardModels.load(folder, tiny_base())
    torch.testing.assert_close(rewards.score(texts)[:, 0], expected)
    rewards.save(tmp_path)
    again = PeftModel.from_pretrained(
        EvidenceClassifier(tiny_base()), tmp_path / "quality", autocast_adapter_dtype=False
    )
    torch.testing.assert_close(again.eval()(**texts._asdict()).logits[:, 0], expected)


def test_heads_over_the_last_state_and_over_evidence_stand_side_by_side(trained, texts):
    expected = RewardModels.load(trained[1], tiny_base()).score(texts)
    config = LoraConfig(task_type=TaskType.SEQ_CLS, r=2, target_modules="all-linear")
    plain = get_peft_model(tiny_classifier(), config, autocast_adapter_dtype=False)
    plain.save_pretrained(trained[1] / "ant")
    both = RewardModels.load(trained[1], tiny_base())
    assert both.names == ("ant", "quality")
    torch.testing.assert_close(both.score(texts)[:, [1]], expected)


def test_a_head_of_another_size_is_refused(trained):
    bank = RewardModels.load(trained[1], tiny_base(), ["quality"]).bank
    with pytest.raises(ValueError, match=r"one of \[16, 37\] numbers, got \{'quality': 33\}"):
        RewardModels(bank, {"quality": torch.zeros(33)}, torch.zeros(40, 16))


def test_evidence_needs_the_language_model_head(trained):
    with pytest.raises(ValueError, match="needs the base's language-model head"):
        RewardModels.load(trained[1], tiny_classifier())
    with pytest.raises(ValueError, match="LlamaForSequenceClassification has none"):
        EvidenceClassifier(tiny_classifier())


def test_a_reward_model_over_evidence_learns_what_was_preferred_and_can_be_loaded(tmp_path):
    base = tiny_base().float()
    base.save_pretrained(tmp_path / "base")
    word_tokenizer().save_pretrained(tmp_path / "base")
    held_out = favouring_pairs(24, seed=1)
    settings = {"learning_rate": 3e-2, "batch_size": 8, "epochs": 2}
    metrics = train_reward(
        tmp_path / "base", favouring_pairs(96, seed=0), held_out, tmp_path / "rewards" / "five", **settings
    )
    assert metrics["accuracy"] > 0.9
    rewards = RewardModels.load(tmp_path / "rewards", tiny_base().float())
    assert rewards.heads[0].shape == (37,)
    tokens: datasets.Dataset = tokenize_pairs(held_out, word_tokenizer())
    chosen, rejected = (rewards.score(side_of(tokens, side)) for side in ("chosen", "rejected"))
    assert float((chosen - rejected).mean()) == pytest.approx(
        metrics["mean_margin"], rel=1e-2
    )  # that one is measured in bfloat16
