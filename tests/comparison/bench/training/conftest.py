"""Fixtures: a world on disk of the smallest size in which experts can be trained."""

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, TaskType, get_peft_model
from tiny_bundle import TEXTS, tiny_base, tiny_tokenizer
from transformers import LlamaForSequenceClassification

LORA = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}
CONFIG = """
base: {world}/base
rewards: {world}/rewards
prompts: {world}/prompts.jsonl
output: nowhere
held: {{friendly: [concise]}}
prompts_per_update: 4
ppo: {{updates: 75, learning_rate: 0.01, parts: 1}}
exam: {{least_budget: 6, most_budget: 10}}
"""


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, prompts, random reward models whose heads read the last state, and a configuration."""
    world = tmp_path_factory.mktemp("world")
    tokenizer = tiny_tokenizer(world)
    tokenizer.save_pretrained(world / "base")
    base = tiny_base(tokenizer)
    base.config.max_position_embeddings = 2048  # for questions that are spelled out byte by byte
    base.save_pretrained(world / "base")
    for seed, name in enumerate(("concise", "friendly", "quality")):
        torch.manual_seed(seed)
        model = get_peft_model(
            LlamaForSequenceClassification.from_pretrained(world / "base", num_labels=1),
            LoraConfig(task_type=TaskType.SEQ_CLS, **LORA),
        )
        for parameter in model.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.3)
        model.save_pretrained(world / "rewards" / name)
    rows = [{"messages": [{"role": "user", "content": f"{TEXTS[0]} {number}"}]} for number in range(60)]
    (world / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (world / "experts.yaml").write_text(CONFIG.format(world=world))
    return world
