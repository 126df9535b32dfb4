"""Scores by models: each is what the model itself says, read in the right place."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerBase

from comparison.learned import ClassifierScorer, LearnedScorer
from decoding.answered import Answered
from experts.adapters import AdapterConfig
from experts.bank import ExpertBank
from experts.miniature.corpus import Prompt
from experts.references import References
from experts.rewards import RewardModels
from mixture import Mixture

PROMPTS = [Prompt([{"role": "user", "content": text}], "") for text in ("What is it?", "A volcano?")]
NAMES = ("friendly", "concise")


def tiny_rewards(mixture: Mixture) -> RewardModels:
    torch.manual_seed(4)
    bank = ExpertBank(mixture.bank.base.base_model)
    for name in (*NAMES, "quality"):
        bank.add(name, AdapterConfig(1, 2.0, ("q_proj",)))
        for parameter in bank.parameters_of(name):
            torch.nn.init.normal_(parameter)
    return RewardModels(bank, {name: torch.randn(32, dtype=torch.float64) for name in bank.names})


def test_a_learned_score_is_the_chance_to_beat_the_reference_answer(mixture: Mixture):
    rewards = tiny_rewards(mixture)
    reference = torch.tensor([[0.1, 0.2, 0.3], [-0.4, 0.5, 0.0]], dtype=torch.float64)
    references = References(torch.zeros(2, 1), torch.zeros(2, 1), reference)
    scorer = LearnedScorer(rewards, mixture.tokenizer, NAMES, references, PROMPTS, 6)
    found = scorer.score([PROMPTS[1]], ["be warm"])
    prompt = mixture.encode([PROMPTS[1].messages])[0][0].tolist()
    written = mixture.tokenizer("be warm", add_special_tokens=False)["input_ids"]
    for limit, end in ((6, [mixture.tokenizer.eos_token_id]), (len(written), [])):
        scorer.max_new_tokens = limit
        found = scorer.score([PROMPTS[1]], ["be warm"])
        whole = torch.tensor([[*prompt, *written, *(end if limit > len(written) else [])]])
        texts = Answered(whole, torch.ones_like(whole), torch.tensor([whole.shape[1] - len(prompt)]))
        raw = rewards.score(texts, (*NAMES, "quality"))[0]
        expected = torch.sigmoid(raw - reference[1])
        assert found.dimensions["friendly"].tolist() == pytest.approx([float(expected[0])], abs=1e-9)
        assert found.dimensions["concise"].tolist() == pytest.approx([float(expected[1])], abs=1e-9)
        assert found.quality.tolist() == pytest.approx([float(expected[2])], abs=1e-9)


def tiny_classifier(
    tokenizer: PreTrainedTokenizerBase, labels: list[str], **settings
) -> LlamaForSequenceClassification:
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=96, label2id={name: n for n, name in enumerate(labels)},
        id2label=dict(enumerate(labels)), initializer_range=0.5, **settings,
    )  # fmt: skip
    return LlamaForSequenceClassification(config).eval()


@pytest.mark.parametrize("kind", ["multi_label_classification", "single_label_classification"])
def test_a_classifier_s_labels_are_found_by_their_names(mixture: Mixture, kind: str):
    model = tiny_classifier(mixture.tokenizer, ["concise", "quality", "friendly"], problem_type=kind)
    found = ClassifierScorer(model, mixture.tokenizer, NAMES).score(PROMPTS, ["be warm and kind", "short"])
    for row, text in enumerate(["be warm and kind", "short"]):
        ids = torch.tensor([mixture.tokenizer(text)["input_ids"]])
        with torch.no_grad():
            logits = model(ids).logits[0].double()
        expected = logits.sigmoid() if kind.startswith("multi") else logits.softmax(-1)
        numbers = [found.dimensions["concise"][row], found.quality[row], found.dimensions["friendly"][row]]
        assert numbers == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_classifier_without_a_label_of_quality_finds_everything_right(mixture: Mixture, tmp_path: Path):
    model = tiny_classifier(mixture.tokenizer, ["friendly", "concise"])
    model.save_pretrained(tmp_path)
    mixture.tokenizer.save_pretrained(tmp_path)
    found = ClassifierScorer.load(tmp_path, NAMES).score(PROMPTS, ["one", ""])
    assert found.quality.tolist() == [1.0, 1.0]
    assert np.isfinite(found.dimensions["friendly"]).all()
    with pytest.raises(ValueError, match=r"a label for each of \['rude'\], got none for \['rude'\]"):
        ClassifierScorer(model, mixture.tokenizer, ["rude"])
