"""docs/experts.md: a dimension of one's own, exactly as the page says, on a tiny base."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from test_rewards import word_tokenizer
from tiny_exam import tiny_base

from experts.reward_sources import kind_of
from experts.train import command_parser

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "experts.md").read_text("utf-8")
JSON, YAML, SHELL = (
    re.findall(rf"^```{kind}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE) for kind in ("json", "yaml", "sh")
)
TEMPLATE = "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %} </s>{% endif %} {% endfor %}"


def test_the_configurations_of_the_page_parse(tmp_path):
    for block in YAML:
        written = yaml.safe_load(block)
        needed = {"base": "b", "prompts": "p", "output": "o", "rewards": "r"}
        (tmp_path / "page.yaml").write_text(yaml.safe_dump(needed | written))
        parsed = command_parser().parse_args(["--config", str(tmp_path / "page.yaml")])
        rewards = written.get("rewards", "r")
        assert parsed.rewards == (Path(rewards) if isinstance(rewards, str) else rewards)
        assert parsed.objectives == written.get("objectives")
        assert yaml.safe_load(command_parser().dump(parsed))["rewards"] == rewards  # as it is kept beside the output
    assert kind_of(yaml.safe_load(YAML[1])["rewards"]["helpful"]) == "classifier"
    assert kind_of(yaml.safe_load(YAML[1])["rewards"]["brief"]) == "function"


def test_the_readme_shows_a_dimension_of_ones_own_in_one_configuration(tmp_path):
    readme = (ROOT / "README.md").read_text("utf-8")
    (block,) = re.findall(r"`polite.yaml`:\n\n```yaml\n(.*?)^```", readme, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "polite.yaml").write_text(block)
    shown = command_parser().parse_args(["--config", str(tmp_path / "polite.yaml")])
    whole = yaml.safe_load(YAML[0])
    assert [str(shown[name]) for name in ("base", "rewards", "prompts", "output")] == [
        whole[name] for name in ("base", "rewards", "prompts", "output")
    ]
    assert shown.exam.quality_weight == whole["exam"]["quality_weight"]


@pytest.mark.slow
def test_a_dimension_of_ones_own_is_trained_by_the_commands_of_the_page(tmp_path):
    tiny_base().float().save_pretrained(tmp_path / "models" / "base")
    tokenizer = word_tokenizer()
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(tmp_path / "models" / "base")
    pair, prompt = (json.loads(block) for block in JSON)
    (tmp_path / "pairs").mkdir()
    pairs = [
        {
            "prompt": [{**pair["prompt"][0], "content": f"w{n % 30} w1"}],
            **{side: f"{word} w{n % 30} w{n % 7}" for side, word in (("chosen", "w5"), ("rejected", "w6"))},
        }
        for n in range(64)
    ]
    assert pair.keys() == pairs[0].keys()
    (tmp_path / "pairs" / "polite.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    prompts = [{"messages": [{**prompt["messages"][0], "content": f"w{n} w2"}]} for n in range(16)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, prompts)))
    (tmp_path / "polite.yaml").write_text(YAML[0])
    other = tmp_path / "experts" / "friendly" / "adapter_model.safetensors"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"trained long ago")
    (commands,) = (block for block in SHELL if "polite" in block)  # the others measure
    for line in commands.splitlines():
        words = [sys.executable, *shlex.split(line)[1:]]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    metrics = json.loads((tmp_path / "rewards" / "polite" / "metrics.json").read_text())
    assert metrics["held_out_pairs"] + metrics["train_pairs"] == 64
    assert 6 <= metrics["held_out_pairs"] <= 9  # about three prompts of thirty
    trained = load_file(tmp_path / "experts" / "polite" / "adapter_model.safetensors")
    assert all(tensor.any() and torch.isfinite(tensor).all() for tensor in trained.values())
    logged = [json.loads(line) for line in (tmp_path / "experts" / "answers.jsonl").read_text().splitlines()]
    assert {row["quality"] for row in logged} == {None}  # nothing judges it here
    assert other.read_bytes() == b"trained long ago"
    assert {path.name for path in (tmp_path / "experts").iterdir() if path.is_dir()} == {"friendly", "logs", "polite"}
