"""The command as a person runs it, in processes of its own: killed, resumed, and shared by two."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from test_rewards import word_tokenizer
from tiny_exam import tiny_base

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
NAMES = ("ant", "bee")
REWARD = """
def threes(prompts, answers):
    return [answer.split().count("w3") for answer in answers]


def fives(prompts, answers):
    return [answer.split().count("w5") - len(prompt.split()) for prompt, answer in zip(prompts, answers)]
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a base, prompts and reward functions."""
    world = tmp_path_factory.mktemp("world")
    tiny_base().float().save_pretrained(world / "base")
    tokenizer = word_tokenizer()
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }} {% endfor %}"
    tokenizer.save_pretrained(world / "base")
    rows = [{"messages": [{"role": "user", "content": f"w{n} " * (1 + n % 4)}]} for n in range(1, 17)]
    (world / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (world / "word_rewards.py").write_text(REWARD)
    return world


def command(world, output, *further):
    config = {
        "base": str(world / "base"),
        "rewards": {"ant": "word_rewards:threes", "bee": "word_rewards:fives"},
        "prompts": str(world / "prompts.jsonl"),
        "output": str(world / output),
        "prompts_per_update": 4,
        "save_every": 2,
        "accelerator": "cpu",
        "precision": "64-true",  # so that sums in another order choose no other token
        "ppo": {"updates": 16, "learning_rate": 0.01, "parts": 2},
        "exam": {"least_budget": 6, "most_budget": 10, "quality_weight": 0.0},
    }
    path = world / f"{output}.yaml"
    path.write_text(yaml.safe_dump(config))
    return [sys.executable, "-m", "experts.train", "--config", str(path), *further]


def environment(world):
    return {**os.environ, "PYTHONPATH": str(world), "OMP_NUM_THREADS": "1"}


def train(world, output, *further):
    done = subprocess.run(
        command(world, output, *further), cwd=ROOT, env=environment(world), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return adapters(world / output)


def adapters(folder):
    return {
        f"{name}/{key}": tensor
        for name in NAMES
        for key, tensor in load_file(folder / name / "adapter_model.safetensors").items()
    }


@pytest.fixture(scope="module")
def uninterrupted(world):
    return train(world, "uninterrupted")


def test_a_run_that_is_killed_and_started_again_ends_with_the_same_bits(world, uninterrupted):
    folder = world / "killed"
    process = subprocess.Popen(
        command(world, "killed"), cwd=ROOT, env=environment(world), stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    while not (folder / "last.ckpt").exists() and process.poll() is None:
        time.sleep(0.02)
    time.sleep(random.uniform(0, 0.3))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (folder / "bee" / "adapter_config.json").exists()
    assert torch.load(folder / "last.ckpt", weights_only=True)["updates_done"] < 16
    resumed = train(world, "killed")
    assert all(torch.equal(tensor, uninterrupted[key]) for key, tensor in resumed.items())


def test_two_processes_train_the_adapters_of_one(world, uninterrupted):
    together = train(world, "shared", "--devices", "2", "--strategy", "ddp")
    assert together.keys() == uninterrupted.keys()
    for key, tensor in together.items():
        torch.testing.assert_close(tensor, uninterrupted[key], rtol=1e-6, atol=1e-8)
    fresh = [key for key in together if key.endswith("lora_B.weight") and not together[key].any()]
    assert not fresh


def test_a_collapse_ends_the_command_with_one_message(world):
    further = "--ppo.learning_rate", "1e200"
    done = subprocess.run(
        command(world, "collapsed", *further), cwd=ROOT, env=environment(world), capture_output=True, text=True
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "of expert 'ant' must be finite" in last
    assert "lower ppo.learning_rate" in last
    assert "no checkpoint was written before" in last
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_other_precisions_train_too(world, precision):
    further = "--ppo.updates", "1", "--precision", precision
    assert all(tensor.isfinite().all() for tensor in train(world, precision, *further).values())
