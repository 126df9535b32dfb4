"""Models of real shapes with random weights, and adapters on them: time depends on shapes, not on what was learned.

Knows configurations and tensors. Does not know who is timed.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from experts.adapters import DOWN, UP, AdapterConfig
from experts.bank import ExpertBank
from experts.targets import targeted, widths

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "tiny": {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
    "135m": {  # SmolLM2-135M
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "tie_word_embeddings": True,
    },
    "1b": {  # Llama-3.2-1B
        "vocab_size": 128256,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "tie_word_embeddings": True,
    },
    "8b": {  # Llama-3.1-8B
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "tie_word_embeddings": False,
    },
}
"""Llama shapes by name: what `LlamaConfig` is given."""

AdapterState = dict[str, Tensor]
"""`<module>.lora_A.weight` (r, in) and `<module>.lora_B.weight` (out, r)."""


def random_base(shape: str, dtype: torch.dtype, device: torch.device, seed: int = 0) -> PreTrainedModel:
    """Gives a model of this shape with random weights.

    Raises:
        ValueError: If there is no such shape.
    """
    if shape not in SHAPES:
        raise ValueError(f"a shape must be one of {', '.join(SHAPES)}, got {shape!r}")
    config = LlamaConfig(**SHAPES[shape], max_position_embeddings=8192, pad_token_id=0)
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(seed)  # transformers draws from the global generator
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    return cast(PreTrainedModel, model.requires_grad_(False).eval())


def twin(model: PreTrainedModel) -> PreTrainedModel:
    """Gives a model of its own modules, for hooks and wrappers of its own, over the very same weights."""
    shared = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in shared})


def adapter_config(rank: int) -> AdapterConfig:
    """Gives the configuration of an adapter on all seven projections, with scaling one."""
    return AdapterConfig(rank=rank, alpha=rank, target_modules=PROJECTIONS)


def random_adapters(base: PreTrainedModel, names: Sequence[str], rank: int, seed: int = 1) -> dict[str, AdapterState]:
    """Gives an adapter for each name, on the seven projections, random and not zero."""
    generator = torch.Generator().manual_seed(seed)
    modules = targeted(base, adapter_config(rank))
    return {name: _random_state(modules, rank, generator, base.device, base.dtype) for name in names}


def bank_of(base: PreTrainedModel, adapters: Mapping[str, AdapterState], rank: int) -> ExpertBank:
    """Gives a bank of these adapters on this model."""
    bank = ExpertBank(base)
    for name, state in adapters.items():
        bank.add(name, adapter_config(rank), state)
    return bank.eval()


def merged_copy(base: PreTrainedModel, updates: Mapping[str, Tensor]) -> PreTrainedModel:
    """Gives a model with these updates added to its weights; what is not updated is shared with the base."""
    model = twin(base)
    for name, update in updates.items():
        module = cast(nn.Linear, model.get_submodule(name))
        weight = module.weight.detach()
        module.weight = nn.Parameter((weight + update.to(weight)).contiguous(), requires_grad=False)
    return model


def _random_state(
    modules: Mapping[str, nn.Module], rank: int, generator: torch.Generator, device: torch.device, dtype: torch.dtype
) -> AdapterState:
    """One adapter's factors, of a size that changes every logit and overwhelms none."""
    state: AdapterState = {}
    for name, module in modules.items():
        inputs, outputs = widths(module)
        down = torch.randn(rank, inputs, generator=generator) / math.sqrt(inputs)
        up = torch.randn(outputs, rank, generator=generator) * 0.1
        state |= {name + DOWN: down.to(device, dtype), name + UP: up.to(device, dtype)}
    return state
