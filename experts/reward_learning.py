"""Trains one reward model from labelled pairs of answers, by TRL's RewardTrainer.

Knows TRL. Does not know who labelled the pairs, what a dimension means, nor how the scores are used later. A reward
model is a LoRA adapter with a linear head over the base (PEFT's SEQ_CLS), trained with the Bradley-Terry loss of arXiv
2203.02155, eq. 1: `-log sigmoid(r(chosen) - r(rejected))`.

Departures from TRL's defaults: 1. texts are tokenized here and never given an end of sequence they do not have, since
an answer which was cut off must look cut off to its judge; 2. no gradient checkpointing, no checkpoints.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import datasets
import torch
from peft import LoraConfig, PeftModel, TaskType
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from trl import RewardConfig, RewardTrainer

from experts.adapters import WEIGHTS_FILE
from experts.pair_tokens import AnswerCollator, tokenize_pairs, tokenizer_of
from experts.precision import trains_in_bfloat16
from experts.readout import EvidenceClassifier
from experts.reward_worth import calibration_error, cross_scaled, fitted_scale, held_out_margins, worth
from experts.rewards import HEAD_WEIGHT

METRICS_FILE = "metrics.json"


def train_reward(
    base: str | Path,
    pairs: datasets.Dataset,
    held_out: datasets.Dataset,
    output: str | Path,
    *,
    rank: int = 8,
    alpha: int = 16,
    learning_rate: float = 1e-3,
    epochs: float = 1.0,
    batch_size: int = 32,
    centering: float = 0.01,
    seed: int = 0,
    evidence: bool = True,
    callbacks: Sequence[TrainerCallback] = (),
) -> dict[str, float]:
    """Accuracy, calibration error and seconds of a reward model trained from `base` and saved in `output`.

    Args:
        base: folder or hub id of the causal model the adapter is trained on.
        pairs: columns `chosen` and `rejected` (texts rendered by the chat template), optionally `prompt`.
        held_out: the same columns; one number is fitted to them, by which all scores are scaled (`fitted_scale`).
        output: becomes an ordinary PEFT sequence-classification folder plus `metrics.json`, written last.
        rank: of the LoRA adapter on every linear layer.
        alpha: LoRA scale; updates are multiplied by `alpha / rank`.
        learning_rate: of AdamW, decayed linearly to zero.
        epochs: passes over `pairs`.
        batch_size: pairs in a step.
        centering: weight of the squared sum of the two scores (arXiv 2312.09244, eq. 2): scores stay near zero.
        seed: for the head, the adapter and the order of the pairs.
        evidence: whether the head reads evidence gathered over all tokens, not the last state alone (`readout`).
        callbacks: told about every step.

    Raises:
        ValueError: if the tokenizer pads with its end of sequence, which would hide the end from the score.
    """
    started = time.perf_counter()
    tokenizer = tokenizer_of(base)
    trainer = RewardTrainer(
        model=_evidence_classifier(base, seed) if evidence else str(base),
        args=_arguments(output, learning_rate, epochs, batch_size, centering, seed),
        train_dataset=tokenize_pairs(pairs, tokenizer),
        data_collator=AnswerCollator(tokenizer.pad_token_id) if evidence else None,
        processing_class=tokenizer,
        peft_config=LoraConfig(task_type=TaskType.SEQ_CLS, r=rank, lora_alpha=alpha, target_modules="all-linear"),
        callbacks=list(callbacks),
    )
    for noisy in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(noisy)
    trainer.train()
    margins = held_out_margins(trainer, tokenize_pairs(held_out, tokenizer))
    scale = fitted_scale(margins)
    _save_adapter(trainer, Path(output), scale)
    return _write_metrics(Path(output), margins, scale, len(pairs), time.perf_counter() - started)


def _evidence_classifier(base: str | Path, seed: int) -> EvidenceClassifier:
    torch.manual_seed(seed)
    return EvidenceClassifier(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32))


def _save_adapter(trainer: RewardTrainer, output: Path, scale: float) -> None:
    """Writes the adapter alone, its scores scaled: the trainer's own way would leave its arguments as a pickle."""
    assert isinstance(trainer.model, PeftModel)
    trainer.model.save_pretrained(str(output))
    weights = output / WEIGHTS_FILE
    state = load_file(weights)
    heads = {name: tensor * scale for name, tensor in state.items() if name.endswith(HEAD_WEIGHT)}
    assert len(heads) == 1  # PEFT saves the head that it was told to train
    save_file(state | heads, weights, metadata={"format": "pt"})


def _arguments(
    output: str | Path, learning_rate: float, epochs: float, batch_size: int, centering: float, seed: int
) -> RewardConfig:
    return RewardConfig(
        output_dir=str(output),
        use_cpu=not torch.cuda.is_available(),
        bf16=trains_in_bfloat16(),
        gradient_checkpointing=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_steps=50,
        learning_rate=learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=10,
        num_train_epochs=epochs,
        per_device_train_batch_size=batch_size,
        train_sampling_strategy="group_by_length",  # else half of a batch is padding
        remove_unused_columns=False,  # the lengths of texts and answers
        center_rewards_coefficient=centering,
        dataloader_pin_memory=torch.cuda.is_available(),
        seed=seed,
    )


def _write_metrics(output: Path, margins: Tensor, scale: float, train_pairs: int, seconds: float) -> dict[str, float]:
    metrics = {
        **worth(margins * scale),
        "calibration_error": calibration_error(cross_scaled(margins)),
        "scale": scale,
        "train_pairs": train_pairs,
        "held_out_pairs": len(margins),
        "seconds": round(seconds, 1),
    }
    (output / METRICS_FILE).write_text(json.dumps(metrics, indent=2) + "\n")
    return metrics
