"""The miniature base: a small Llama taught the world's dialogues with TRL's `SFTTrainer`.

Knows the base's shape and its training, not what comes after it. Run `python -m experts.miniature.pretrain --help`.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset, concatenate_datasets
from jsonargparse import auto_cli
from torch import Tensor, nn
from torch._dynamo.exc import BackendCompilerFailed
from torch.nn.functional import cross_entropy, linear
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    default_data_collator,
)
from transformers.trainer_utils import get_last_checkpoint
from trl import SFTConfig, SFTTrainer

from experts.miniature.corpus import dialogues
from experts.miniature.optimiser import muon_with_adamw
from experts.miniature.packing import IGNORED, packed
from experts.miniature.tokenizer import train_tokenizer
from experts.precision import trains_in_bfloat16

WINDOW = 384  # tokens the base can read
TOKENIZER_DIALOGUES = 20_000
ROWS_AT_ONCE = 2000  # as lists of Python's numbers, which take some ten times the memory that a dataset takes


def base_config(tokenizer: PreTrainedTokenizerBase, *, hidden_size: int, layers: int, heads: int = 4) -> LlamaConfig:
    """A Llama shape with tied embeddings and a feed-forward three times as wide as the model."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=3 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=WINDOW,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def token_loss(states: Tensor, head: Tensor, following: Tensor) -> Tensor:
    """Summed negative log-probability in nats of the tokens (N,) that follow hidden states (N, d); head is (V, d)."""
    return cross_entropy(linear(states, head).float(), following, reduction="sum")


class LearnedTokenTrainer(SFTTrainer):
    """TRL's trainer with its loss, computed over the tokens that are learned alone: a step takes half the time.

    On a processor TRL's own way walks over the vocabulary many times for every token, learned or not.
    """

    loss_of_tokens: Callable[[Tensor, Tensor, Tensor], Tensor] = staticmethod(token_loss)

    def compute_loss(  # type: ignore[override]  # it gives the loss alone
        self,
        model: LlamaForCausalLM,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Tensor:
        """Mean negative log-probability of the learned tokens of a batch of packed rows, nats."""
        following = inputs["labels"][:, 1:]
        learned = following != IGNORED
        with self.accelerator.autocast():
            hidden = model.model(inputs["input_ids"], position_ids=inputs["position_ids"], use_cache=False)[0]
            loss = self.loss_of_tokens(hidden[:, :-1][learned], model.lm_head.weight, following[learned])
        return loss / (learned.sum() if num_items_in_batch is None else num_items_in_batch)


class GiveMemoryBack(TrainerCallback):
    """Returns freed memory now and then: no two steps learn equally many tokens, and glibc keeps the holes."""

    def __init__(self, every: int = 50) -> None:
        """Does so after every `every` steps; where the C library is another one, never."""
        self.every = every
        self.trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Gives back what is free."""
        if self.trim is not None and state.global_step % self.every == 0:
            self.trim(0)


def fuse(trainer: LearnedTokenTrainer, model: LlamaForCausalLM) -> None:
    """Makes a few kernels of trunk and loss; attention as plain products, which fused is the faster one."""
    model.set_attn_implementation("eager")
    cast(nn.Module, model.model).compile(dynamic=False)
    trainer.loss_of_tokens = torch.compile(token_loss, dynamic=True)


def can_compile() -> bool:
    """Whether this machine has what `torch.compile` needs, a C++ compiler above all."""
    try:
        torch.compile(torch.neg)(torch.ones(1))
    except BackendCompilerFailed:
        return False
    return True


def training_rows(tokenizer: PreTrainedTokenizerBase, count: int, *, seed: int) -> Dataset:
    """`count` packed rows of dialogues, labelled where the base speaks."""
    rows = islice(packed(encoded_dialogues(tokenizer, seed=seed), WINDOW, tokenizer.pad_token_id), count)
    parts = iter(lambda: [row._asdict() for row in islice(rows, ROWS_AT_ONCE)], [])
    return concatenate_datasets([Dataset.from_list(part) for part in parts])


def encoded_dialogues(
    tokenizer: PreTrainedTokenizerBase, *, seed: int, at_once: int = 1000
) -> Iterator[tuple[list[int], list[int]]]:
    """Training dialogues without end: token ids, and a mask that is 1 where the base speaks."""
    stream = dialogues(seed=seed)
    while True:
        encoded: Any = tokenizer.apply_chat_template(
            list(islice(stream, at_once)),
            return_dict=True,
            return_assistant_tokens_mask=True,
            truncation=True,
            max_length=WINDOW,
        )
        yield from zip(encoded["input_ids"], encoded["assistant_masks"], strict=True)


def sft_arguments(
    output: Path, steps: int, batch_size: int, learning_rate: float, bf16: bool | None, seed: int
) -> SFTConfig:
    """What the trainer is told: rows in their order, a cosine after a short warm-up, checkpoints to go on from."""
    return SFTConfig(
        output_dir=str(output),
        max_steps=steps,
        per_device_train_batch_size=batch_size,
        learning_rate=learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0.05,
        train_sampling_strategy="sequential",
        max_length=WINDOW,
        remove_unused_columns=False,  # position ids tell the packed dialogues apart
        use_cpu=not torch.cuda.is_available(),
        bf16=trains_in_bfloat16() if bf16 is None else bf16,
        gradient_checkpointing=False,
        logging_steps=max(1, steps // 50),
        save_steps=max(1, steps // 4),
        save_total_limit=1,
        report_to="none",
        seed=seed,
    )


def pretrain(
    output: Path = Path("build/miniature/base"),
    *,
    steps: int = 4000,
    batch_size: int = 24,
    learning_rate: float = 2e-2,
    hidden_size: int = 160,
    layers: int = 4,
    vocab_size: int = 4096,
    bf16: bool | None = None,
    compile: bool = True,
    seed: int = 0,
) -> None:
    """Train tokenizer and base from nothing and save both; an interrupted run goes on from its last checkpoint.

    Args:
        output: the folder that gets the base as `from_pretrained` reads it.
        steps: optimiser steps, each on new dialogues.
        batch_size: rows in a step, four dialogues each.
        learning_rate: Muon's peak, reached after 5 % of the steps and decayed to zero along a cosine.
        hidden_size: width of the model.
        layers: depth of the model.
        vocab_size: tokens, the 256 bytes and the special ones included; nearly every word of the world is one of them.
        bf16: multiply in bfloat16 (the weights stay in float32), 1.3 times as fast where the processor can; when not
            said, it does where it can.
        compile: fuse passes with `torch.compile`, 1.7 times as fast on two cores; plain passes without a C++ compiler.
        seed: of the dialogues, the initial weights and the order.
    """
    texts = (
        message["content"] for dialogue in islice(dialogues(seed=seed), TOKENIZER_DIALOGUES) for message in dialogue
    )
    tokenizer = train_tokenizer(texts, output, vocab_size=vocab_size)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(base_config(tokenizer, hidden_size=hidden_size, layers=layers))
    checkpoints = output.with_name(f"{output.name}-checkpoints")
    trainer = LearnedTokenTrainer(
        model=model,
        args=sft_arguments(checkpoints, steps, batch_size, learning_rate, bf16, seed),
        train_dataset=training_rows(tokenizer, steps * batch_size, seed=seed),
        data_collator=default_data_collator,
        processing_class=tokenizer,
        optimizers=(muon_with_adamw(model, learning_rate), None),
        callbacks=[GiveMemoryBack()],
    )
    if compile and can_compile():
        fuse(trainer, model)
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None)
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)


if __name__ == "__main__":
    auto_cli(pretrain)
