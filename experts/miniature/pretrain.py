"""The miniature base: a small Llama taught the world's dialogues with TRL's `SFTTrainer`.

Knows the base's shape and its training, not what comes after it. Run `python -m experts.miniature.pretrain --help`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from datasets import Dataset
from jsonargparse import auto_cli
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase
from transformers.trainer_utils import get_last_checkpoint
from trl import SFTConfig, SFTTrainer

from experts.miniature.corpus import dialogues
from experts.miniature.tokenizer import train_tokenizer

WINDOW = 384  # tokens the base can read
TOKENIZER_DIALOGUES = 20_000


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


def training_rows(tokenizer: PreTrainedTokenizerBase, count: int, *, seed: int) -> Dataset:
    """`count` dialogues as token ids, labelled where the base speaks (-100 elsewhere)."""
    encoded = tokenizer.apply_chat_template(
        list(dialogues(count, seed=seed)),
        return_dict=True,
        return_assistant_tokens_mask=True,
        truncation=True,
        max_length=WINDOW,
    )
    spoken = zip(encoded["input_ids"], encoded["assistant_masks"], strict=True)
    labels = [[token if says else -100 for token, says in zip(ids, mask, strict=True)] for ids, mask in spoken]
    return Dataset.from_dict({"input_ids": encoded["input_ids"], "labels": labels})


def pretrain(
    output: Path = Path("build/miniature/base"),
    *,
    steps: int = 2200,
    batch_size: int = 48,
    learning_rate: float = 3e-3,
    hidden_size: int = 144,
    layers: int = 4,
    vocab_size: int = 2048,
    bf16: bool = True,
    seed: int = 0,
) -> None:
    """Train tokenizer and base from nothing and save both; an interrupted run goes on from its last checkpoint.

    Args:
        output: the folder that gets the base as `from_pretrained` reads it.
        steps: optimiser steps, each on new dialogues.
        batch_size: dialogues a step.
        learning_rate: the peak, reached after 5 % of the steps and decayed to zero along a cosine.
        hidden_size: width of the model.
        layers: depth of the model.
        vocab_size: tokens, the 256 bytes and the special ones included.
        bf16: multiply in bfloat16 (the weights stay in float32), 1.7 times as fast where the processor can.
        seed: of the dialogues, the initial weights and the order.
    """
    texts = (message["content"] for dialogue in dialogues(TOKENIZER_DIALOGUES, seed=seed) for message in dialogue)
    tokenizer = train_tokenizer(texts, output, vocab_size=vocab_size)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(base_config(tokenizer, hidden_size=hidden_size, layers=layers))
    checkpoints = output.with_name(f"{output.name}-checkpoints")
    arguments = SFTConfig(
        output_dir=str(checkpoints),
        max_steps=steps,
        per_device_train_batch_size=batch_size,
        learning_rate=learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0.05,
        weight_decay=0.01,
        adam_beta2=0.98,
        train_sampling_strategy="group_by_length",
        max_length=WINDOW,
        use_cpu=not torch.cuda.is_available(),
        bf16=bf16,
        gradient_checkpointing=False,
        logging_steps=max(1, steps // 50),
        save_steps=max(1, steps // 4),
        save_total_limit=1,
        report_to="none",
        seed=seed,
    )
    rows = training_rows(tokenizer, steps * batch_size, seed=seed)
    trainer = SFTTrainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer)
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None)
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)


if __name__ == "__main__":
    auto_cli(pretrain)
