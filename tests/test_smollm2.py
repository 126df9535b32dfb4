"""configs/smollm2-135m on that architecture with random weights: from pairs to a bundle that answers, in tiny steps.

Everything is as in SmolLM2-135M but the vocabulary, which is a small tokenizer's.
"""

import json
import warnings
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tiny_bundle import tiny_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

import experts.train as experts_command
import pcm.train as pcm_command
from decoding.sampling import Sampling
from experts.labelled_pairs import read_split
from experts.reward_learning import train_reward
from mixture import Mixture
from pcm.preference import Preference

CONFIGS = Path(__file__).parents[1] / "configs" / "smollm2-135m"
SHAPE = {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}
QUESTION = [{"role": "user", "content": "What is a volcano?"}]
ADDED = """
def brevity(prompts, answers):
    return [-len(answer) / 4 for answer in answers]
"""


def smollm2(tokenizer: PreTrainedTokenizerBase) -> LlamaForCausalLM:
    """The architecture, and as many words as the tokenizer has."""
    torch.manual_seed(0)
    config = LlamaConfig(
        **{**SHAPE, "vocab_size": len(tokenizer)},
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config).eval()


def written(folder: Path) -> Path:
    """What a user brings: base, pairs, prompts and a function; the tokenizer pads with its end, as SmolLM2's does."""
    tokenizer = tiny_tokenizer(folder / "tokenizer")
    tokenizer.pad_token = tokenizer.eos_token
    smollm2(tokenizer).save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    topics = ("volcano", "mountain", "friend", "answer")
    prompts = [{"messages": [{"role": "user", "content": f"What is a {topic}?"}]} for topic in topics]
    for name in ("train", "validation"):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    pairs = [{"prompt": one["messages"], "chosen": "thank you friend", "rejected": "a mountain"} for one in prompts]
    (folder / "pairs").mkdir()
    (folder / "pairs" / "warm.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    (folder / "short_answers.py").write_text(ADDED)
    return folder


def configured(name: str, folder: Path, **changed: object) -> str:
    """The path of a shipped configuration with another base and other places."""
    config = yaml.safe_load((CONFIGS / name).read_text("utf-8")) | changed
    (folder / name).write_text(yaml.safe_dump(config))
    return str(folder / name)


@pytest.mark.slow
def test_a_real_architecture_goes_from_pairs_to_a_bundle_that_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = written(tmp_path)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    rewards = {"warm": "rewards/warm", "brief": "short_answers:brevity"}
    with warnings.catch_warnings(action="ignore"):
        settings = yaml.safe_load((CONFIGS / "rewards.yaml").read_text("utf-8"))
        train_reward(
            "base",
            *read_split(folder / "pairs", "warm"),
            "rewards/warm",
            learning_rate=settings["learning_rate"],
            batch_size=2,
        )
        places = {"base": "base", "rewards": rewards, "prompts": "train.jsonl", "output": "experts"}
        tiny = "--prompts_per_update 2 --ppo.updates 1 --exam.least_budget 4 --exam.most_budget 6"
        config = configured("experts.yaml", folder, **places)
        unjudged = "--exam.quality_weight 0 --accelerator cpu"
        assert experts_command.main(["--config", config, *tiny.split(), *unjudged.split()]) == 0
        shipped = yaml.safe_load((CONFIGS / "pcm.yaml").read_text("utf-8"))["model"]
        own = {"base": "base", "experts": {name: f"experts/{name}" for name in rewards}}
        model = {**shipped, "bundle": own, "rewards": rewards, "references": None, "max_new_tokens": 6}
        data = {"train": "train.jsonl", "validation": "validation.jsonl", "pairs": 2, "iterations": 1}
        config = configured("pcm.yaml", folder, model=model, data=data, output="bundle")
        quiet = "--data.validation_pairs 2 --trainer.max_epochs 1 --trainer.accelerator cpu"
        pcm_command.main(["fit", "--config", config, *quiet.split()])
    for name in rewards:
        trained = load_file(folder / "experts" / name / "adapter_model.safetensors")
        assert {min(tensor.shape) for tensor in trained.values()} == {16}
        assert all(bool(tensor.any() and tensor.isfinite().all()) for tensor in trained.values())
    mixture = Mixture.load(folder / "bundle")
    assert {name: getattr(mixture.bank.base.config, name) for name in SHAPE} == {
        **SHAPE,
        "vocab_size": len(mixture.tokenizer),
    }
    assert mixture.pcm is not None
    assert bool(mixture.pcm.score.weight.any())
    assert (folder / "bundle" / "rewards" / "warm").is_dir()
    wish = Preference(weights={"warm": 1.0, "brief": 0.5})
    answer = mixture.generate([QUESTION], [wish], Sampling(0.0, max_new_tokens=4), [0])[0]
    assert answer.text
