"""A mixture of the smallest size in which everything is real: a Llama shape, byte fallback, three unequal experts."""

from pathlib import Path
from typing import TypeVar

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from decoding.dimension import Dimension
from experts.adapters import AdapterConfig
from experts.bank import ExpertBank
from experts.miniature.tokenizer import train_tokenizer
from mixture import Mixture
from pcm.model import PreferenceControlModel
from pcm.reader.model import PreferenceReader

Module = TypeVar("Module", bound=torch.nn.Module)

DIMENSIONS = (
    Dimension("friendly", "The answer is warm and kind.", "unfriendly"),
    Dimension("unfriendly", "The answer is cold and rude.", "friendly"),
    Dimension("concise", "The answer is short."),
)
TEXTS = ["What is a volcano? A volcano is a mountain that opens.", "Be warm and kind, keep it short, thank you friend!"]
WINDOW = 96


def tiny_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """A sentencepiece tokenizer with byte fallback: most of its tokens are bytes, so characters get spread."""
    return train_tokenizer(TEXTS * 20, folder, vocab_size=330)


def tiny_base(tokenizer: PreTrainedTokenizerBase, seed: int = 0) -> LlamaForCausalLM:
    """Random weights, large enough that distributions are not flat and greedy decoding has no ties."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=WINDOW,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config).eval()


def tiny_bank(base: LlamaForCausalLM, seed: int = 1) -> ExpertBank:
    """Experts of unequal ranks and targets, none of which is zero."""
    torch.manual_seed(seed)
    bank = ExpertBank(base)
    for number, dimension in enumerate(DIMENSIONS, start=1):
        targets = ("q_proj", "v_proj", "down_proj")[:number]
        bank.add(dimension.name, AdapterConfig(rank=number, alpha=2.0, target_modules=targets))
        for parameter in bank.parameters_of(dimension.name):
            torch.nn.init.normal_(parameter, std=0.5)
    return bank


def tiny_controller(hidden_size: int, seed: int = 2) -> PreferenceControlModel:
    """A controller whose weights differ from token to token."""
    torch.manual_seed(seed)
    controller = PreferenceControlModel(hidden_size, width=8)
    for parameter in controller.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return controller.eval()


def rounded(module: Module) -> Module:
    """The module with parameters that bfloat16 holds exactly; buffers (rotary angles) keep their precision."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(parameter.bfloat16())
    return module


def tiny_mixture(folder: Path, dtype: torch.dtype = torch.float32) -> Mixture:
    """Everything together, with weights that bfloat16 holds exactly, so that a bundle loses nothing."""
    tokenizer = tiny_tokenizer(folder)
    bank = rounded(tiny_bank(tiny_base(tokenizer))).to(dtype)
    torch.manual_seed(3)
    reader = PreferenceReader(tokenizer, DIMENSIONS, width=8).eval()
    return Mixture(bank, tokenizer, DIMENSIONS, "anchored", tiny_controller(32).to(dtype), reader)


def hears(reader: PreferenceReader, *probabilities: float) -> PreferenceReader:
    """The reader, made to give these probabilities whatever it reads."""
    reader.probabilities = lambda texts: torch.tensor([probabilities] * len(texts))  # type: ignore[method-assign]
    return reader
