"""Other ways of computing exactly the same mixture: PEFT's two ways of using many adapters, and merged models.

Knows models, adapters and caches. Does not know clocks.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import torch
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from comparison.bench.servers import Read, Said, forward, mixed
from comparison.bench.shapes import PROJECTIONS, AdapterState
from experts.adapters import PEFT_PREFIX

BASE = "__base__"
"""PEFT's word for a row without an adapter."""


def peft_model(base: PreTrainedModel, adapters: Mapping[str, AdapterState], rank: int) -> PeftModel:
    """Gives a model with these adapters, as PEFT runs them, in the base's own precision (its fastest)."""
    names = list(adapters)
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=list(PROJECTIONS), task_type="CAUSAL_LM")
    model = get_peft_model(base, config, adapter_name=names[0], autocast_adapter_dtype=False)
    for name in names[1:]:
        model.add_adapter(name, config, autocast_adapter_dtype=False)
    for name, state in adapters.items():
        named = {PEFT_PREFIX + key: tensor for key, tensor in state.items()}
        set_peft_model_state_dict(model, named, adapter_name=name)
    return model.requires_grad_(False).eval()


class PeftLoop:
    """PEFT's `set_adapter` in a loop: one pass for the base and one for each expert."""

    name, engine = "peft-loop", "eager"

    def __init__(self, model: PeftModel, names: Sequence[str]) -> None:
        self.model, self.names = model, list(names)
        self.experts, self.rows = len(names), len(names) + 1

    def start(self, prompts: Tensor) -> Read:
        """Gives one empty cache for the base and one for each expert."""
        caches = [DynamicCache(config=self.model.config) for _ in range(self.rows)]
        return Read(torch.ones_like(prompts), [*caches])

    @torch.no_grad()
    def step(self, state: Read, tokens: Tensor) -> Said:
        """Reads by the base, then by each expert in turn."""
        state.extend(tokens)
        logits = []
        for name, cache in zip([None, *self.names], state.caches, strict=True):
            if name is not None:
                self.model.set_adapter(name, inference_mode=True)
            with self.model.disable_adapter() if name is None else nullcontext():
                logits.append(forward(self.model, tokens, state.mask, cache))
        return Said(mixed(torch.stack(logits)))

    def widen(self, state: Read, repeats: int) -> Read:
        """Gives the same for more requests."""
        return state.widened(repeats)

    def modules(self) -> list[nn.Module]:
        """Gives the model."""
        return [self.model]


class PeftMixed:
    """PEFT's mixed batch: every row names its adapter, all rows in one pass."""

    name, engine = "peft-mixed", "eager"

    def __init__(self, model: PeftModel, names: Sequence[str]) -> None:
        self.model, self.names = model, [BASE, *names]
        self.experts, self.rows = len(names), len(names) + 1

    def start(self, prompts: Tensor) -> Read:
        """Gives an empty cache."""
        return Read(torch.ones_like(prompts), [DynamicCache(config=self.model.config)])

    @torch.no_grad()
    def step(self, state: Read, tokens: Tensor) -> Said:
        """Reads all rows, those of one adapter together."""
        state.extend(tokens)
        requests = tokens.shape[0]
        named = [name for name in self.names for _ in range(requests)]
        rows = tokens.repeat(self.rows, 1), state.mask.repeat(self.rows, 1)
        logits = forward(self.model, *rows, state.caches[0], adapter_names=named)
        return Said(mixed(logits.view(self.rows, requests, -1)))

    def widen(self, state: Read, repeats: int) -> Read:
        """Gives the same for more requests."""
        return state.widened(repeats)

    def modules(self) -> list[nn.Module]:
        """Gives the model."""
        return [self.model]


class Separate:
    """The base and one merged model for each expert, all in memory, one after the other."""

    name, engine = "separate", "eager"

    def __init__(self, base: PreTrainedModel, merged: Sequence[PreTrainedModel]) -> None:
        self.models = [base, *merged]
        self.experts, self.rows = len(merged), len(merged) + 1

    def start(self, prompts: Tensor) -> Read:
        """Gives one empty cache for each model."""
        return Read(torch.ones_like(prompts), [DynamicCache(config=model.config) for model in self.models])

    @torch.no_grad()
    def step(self, state: Read, tokens: Tensor) -> Said:
        """Reads by each model in turn."""
        state.extend(tokens)
        pairs = zip(self.models, state.caches, strict=True)
        return Said(mixed(torch.stack([forward(model, tokens, state.mask, cache) for model, cache in pairs])))

    def widen(self, state: Read, repeats: int) -> Read:
        """Gives the same for more requests."""
        return state.widened(repeats)

    def modules(self) -> list[nn.Module]:
        """Gives the models."""
        return [*self.models]
