"""Tiny random bases of four shapes, and adapters on them that change something; a fresh LoRA, with B = 0, does not."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import Tokenizer, models
from torch import nn
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from decoding.dimension import Dimension
from experts.bank import ExpertBank
from experts.whole import WholeModels
from mixture import Mixture

VOCABULARY = 50
_GROUPED = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "head_dim": 4,
}
_NO_END = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": 0}
# The experts differ in rank, alpha, targets and scaling.
LORA: Mapping[str, list[dict[str, object]]] = {
    "gated": [
        {"r": 2, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj"]},
        {"r": 4, "lora_alpha": 4, "target_modules": ["down_proj", "v_proj", "o_proj"], "use_rslora": True},
        {"r": 3, "lora_alpha": 9, "target_modules": "all-linear"},
    ],
    "gpt2": [
        {"r": 2, "lora_alpha": 6, "target_modules": ["c_attn"], "fan_in_fan_out": True},
        {"r": 4, "lora_alpha": 4, "target_modules": ["c_fc", "mlp.c_proj"], "use_rslora": True, "fan_in_fan_out": True},
        {"r": 3, "lora_alpha": 9, "target_modules": "all-linear", "fan_in_fan_out": True},
    ],
}
SHAPES = ("llama", "qwen3", "gemma3", "gpt2")


def tiny_base(shape: str) -> PreTrainedModel:
    """A random float64 model of this shape with weights large enough that its tokens depend on the context."""
    torch.manual_seed(0)
    model: PreTrainedModel
    if shape == "llama":
        model = LlamaForCausalLM(LlamaConfig(**_GROUPED, **_NO_END))
    elif shape == "qwen3":
        model = Qwen3ForCausalLM(Qwen3Config(**_GROUPED, **_NO_END))
    elif shape == "gemma3":
        # The window is shorter than the texts, so that the sliding layer does slide.
        layers = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]}
        model = Gemma3ForCausalLM(Gemma3TextConfig(**_GROUPED, **_NO_END, **layers, query_pre_attn_scalar=4))
    else:
        sizes = {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 64}
        model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, **sizes, **_NO_END))
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.3)
    return model.double().eval()


def save_adapters(base: PreTrainedModel, lora: list[dict[str, object]], folder: Path) -> dict[str, Path]:
    """Writes one PEFT folder per configuration, by PEFT itself and with B drawn at random."""
    folders = {}
    for index, settings in enumerate(lora):
        torch.manual_seed(10 + index)
        model = get_peft_model(deepcopy(base), LoraConfig(task_type="CAUSAL_LM", **settings))
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(parameter, std=0.5)
        folders[f"expert{index}"] = folder / f"expert{index}"
        model.save_pretrained(folders[f"expert{index}"])
    return folders


class Household:
    """A bank, and the same experts as PEFT runs them: one model each, on its own copy of the base."""

    def __init__(self, shape: str, folder: Path) -> None:
        base = tiny_base(shape)
        self.base = deepcopy(base)
        self.folders = save_adapters(base, LORA["gpt2" if shape == "gpt2" else "gated"], folder)
        self.bank = ExpertBank.load(base, self.folders)

    def alone(self, name: str) -> PreTrainedModel:
        """The expert as PEFT loads it."""
        return PeftModel.from_pretrained(deepcopy(self.base), self.folders[name]).eval()


def mixture_of(bank: ExpertBank | WholeModels) -> Mixture:
    """The uniform mixture of a household's bank, with a tokenizer of numbered words that nobody reads."""
    words = Tokenizer(models.WordLevel({f"w{number}": number for number in range(VOCABULARY)}, "w1"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w2", pad_token="w0", chat_template="x")
    return Mixture(bank, tokenizer, tuple(Dimension(name, "It differs.") for name in bank.names), "anchored")
