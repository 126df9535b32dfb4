"""The bundle that is shipped is whole, and as small as it is said to be."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from bundle import read_manifest

BUNDLE = Path(__file__).parents[1] / "bundles" / "miniature"


def test_every_file_is_there_unchanged():
    assert len(read_manifest(BUNDLE).dimensions) == 6


def test_the_base_has_at_most_two_million_parameters():
    with torch.device("meta"):
        base = LlamaForCausalLM(LlamaConfig(**json.loads((BUNDLE / "base" / "config.json").read_text("utf-8"))))
    assert sum(parameter.numel() for parameter in base.parameters()) <= 2e6


def test_base_experts_and_rewards_are_in_bfloat16():
    files = [path for room in ("base", "experts", "rewards") for path in (BUNDLE / room).rglob("*.safetensors")]
    assert len(files) == 1 + 6 + 7
    assert {tensor.dtype for path in files for tensor in load_file(path).values()} == {torch.bfloat16}
