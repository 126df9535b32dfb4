"""Trains one reward model per dimension from labelled pairs of answers.

    python -m experts.reward_training --config configs/miniature/rewards.yaml

Knows TRL's RewardTrainer and the pairs on disk. Does not know who labelled the pairs, what a dimension means, nor how
the scores are used later. A reward model is a LoRA adapter with a linear head over the base (PEFT's SEQ_CLS), trained
with the Bradley-Terry loss of arXiv 2203.02155, eq. 1: `-log sigmoid(r(chosen) - r(rejected))`.

Departures from TRL's defaults: 1. texts are tokenized here and never given an end of sequence they do not have, since
an answer which was cut off must look cut off to its judge; 2. no gradient checkpointing, no checkpoints.
"""

import json
import multiprocessing
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any

import datasets
import torch
import transformers
from jsonargparse import ArgumentParser, Namespace
from peft import LoraConfig, PeftModel, TaskType
from rich.console import Console
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from trl import RewardConfig, RewardTrainer

from experts.ensemble import ENSEMBLE_FILE, member_folder
from experts.hub import BASE_FILES, located
from experts.labelled_pairs import most_pairs_first, read_split
from experts.names import listed
from experts.packed import knows_bfloat16
from experts.pair_tokens import AnswerCollator, tokenize_pairs, tokenizer_of
from experts.readout import EvidenceClassifier
from experts.reward_progress import Report, StepReport, show_progress
from experts.reward_worth import (
    calibration_error,
    cross_scaled,
    fitted_scale,
    held_out_margins,
    measure_ensemble,
    worth,
)
from experts.rewards import HEAD_WEIGHT
from experts.settings import keep_settings
from experts.workers import end_with_parent

METRICS_FILE = "metrics.json"
RECORD = "reward_training.yaml"
FREE_SETTINGS = frozenset({"output", "names", "workers", "members"})
"""What may change while a run is interrupted: none of it changes what a reward model becomes."""


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
    weights = output / "adapter_model.safetensors"
    state = load_file(weights)
    heads = {name: tensor * scale for name, tensor in state.items() if name.endswith(HEAD_WEIGHT)}
    assert len(heads) == 1  # PEFT saves the head that it was told to train
    save_file(state | heads, weights, metadata={"format": "pt"})


def _arguments(
    output: str | Path, learning_rate: float, epochs: float, batch_size: int, centering: float, seed: int
) -> RewardConfig:
    on_cpu = not torch.cuda.is_available()
    return RewardConfig(
        output_dir=str(output),
        use_cpu=on_cpu,
        bf16=knows_bfloat16() if on_cpu else torch.cuda.is_bf16_supported(),  # the weights stay in float32
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
        dataloader_pin_memory=not on_cpu,
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


def _train_in_worker(
    label: str,
    name: str,
    base: Path,
    pairs: Path,
    output: Path,
    seed: int,
    queue: "Queue[Report]",
    epochs: float,
    learning_rate: float,
    batch_size: int,
    evidence: bool,
) -> dict[str, float]:
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    warnings.simplefilter("ignore", FutureWarning)  # of TRL about transformers
    return train_reward(
        base,
        *read_split(pairs, name),
        output,
        learning_rate=learning_rate,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        evidence=evidence,
        callbacks=[StepReport(label, queue)],
    )


def train_rewards(
    base: str | Path,
    pairs: Path,
    output: Path,
    names: list[str] | str | None = None,
    workers: int = 2,
    epochs: float = 1.0,
    learning_rate: float = 1e-3,
    batch_size: int = 32,
    seed: int = 0,
    evidence: bool = True,
    members: int = 1,
) -> dict[str, dict[str, Any]]:
    """Metrics by name of reward models trained side by side, each in a process with one thread; finished ones are kept.

    `output` gets them all in one file too, once every model is there.

    Args:
        base: folder or hub id (`owner/name`, `owner/name@revision`) of the base model.
        pairs: folder with `<name>.jsonl`, or `<name>/train.jsonl` and `<name>/validation.jsonl`, for every name; rows
            `{"prompt", "chosen", "rejected"}` as in `labelled_pairs`.
        output: receives one folder per name.
        names: which to train, a list or `one,another`; all in `pairs` if none are given.
        workers: processes at once.
        epochs: passes over the pairs.
        learning_rate: of AdamW.
        batch_size: pairs in a step.
        seed: the same for every model; further members of an ensemble take the seeds after it.
        evidence: whether heads read evidence gathered over all tokens, not the last state alone (`readout`).
        members: reward models per name, trained from different seeds; several make an ensemble (`ensemble`).

    Raises:
        ValueError: if there are no pairs or no members.
        FileNotFoundError: if there is something to train, and the base is nowhere.
    """
    if members < 1:
        raise ValueError(f"members must be at least 1, got {members}")
    names = listed(names) or most_pairs_first(pairs)
    if not names:
        raise ValueError(f"pairs must hold one file or folder per reward model, got none in {pairs}")
    if todo := [model for model in _models(names, members) if not _is_trained(output, *model)]:
        settings = epochs, learning_rate, batch_size, evidence
        _train_side_by_side(todo, base, pairs, output, workers, seed, settings)
    metrics = {name: _metrics_of(name, base, pairs, output, members) for name in names}
    (output / METRICS_FILE).write_text(json.dumps(metrics, indent=2) + "\n")
    return metrics


def _models(names: Sequence[str], members: int) -> list[tuple[str, int]]:
    """Every reward model as a name with the number of a member, first members first."""
    return [(name, number) for number in range(1, members + 1) for name in names]


def _label(name: str, number: int) -> str:
    """What a person reads of a reward model."""
    return name if number == 1 else f"{name} {number}"


def _is_trained(output: Path, name: str, number: int) -> bool:
    """Whether a reward model is finished."""
    return (member_folder(output / name, number) / METRICS_FILE).exists()


def _metrics_of(name: str, base: str | Path, pairs: Path, output: Path, members: int) -> dict[str, Any]:
    """What one reward model or ensemble is worth, measured again only where members came to it."""
    if members == 1:
        return dict(json.loads((output / name / METRICS_FILE).read_text()))
    path = output / name / ENSEMBLE_FILE
    kept = dict(json.loads(path.read_text())) if path.exists() else {"members": []}
    if len(kept["members"]) == members:
        return kept
    return measure_ensemble(located(base, BASE_FILES, "a base"), output / name, read_split(pairs, name)[1])


def _train_side_by_side(
    models: Sequence[tuple[str, int]],
    base: str | Path,
    pairs: Path,
    output: Path,
    workers: int,
    seed: int,
    settings: tuple[float, float, int, bool],
) -> None:
    """Trains the models, each a name with the number of a member."""
    place = located(base, BASE_FILES, "a base")
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(workers, context, end_with_parent) as pool:
        queue: Queue[Report] = manager.Queue()
        futures = {}
        for name, number in models:
            label = _label(name, number)
            places = name, place, pairs, member_folder(output / name, number)
            futures[label] = pool.submit(_train_in_worker, label, *places, seed + number - 1, queue, *settings)
        show_progress(futures, queue)


def command_parser() -> ArgumentParser:
    """The parser of this command."""
    parser = ArgumentParser(description="Trains one reward model per dimension from labelled pairs.")
    parser.add_function_arguments(train_rewards, as_positional=False)
    parser.add_argument("--config", action="config")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, keeps the resolved configuration beside the output, trains."""
    parser = command_parser()
    config = parser.parse_args(arguments)
    values = config.as_dict()
    values.pop("config")
    try:
        _keep_settings(parser, config)
        trained = train_rewards(**values)
    except (ValueError, OSError) as problem:
        raise SystemExit(str(problem)) from None
    for name, metrics in trained.items():
        Console().print(f"{name:<14} {metrics}")


def _keep_settings(parser: ArgumentParser, config: Namespace) -> None:
    """Keeps the resolved configuration beside the output.

    Raises:
        ValueError: if a reward model is there that was trained with other settings.
    """
    models = _models(listed(config.names) or most_pairs_first(config.pairs), config.members)
    there = [_label(*model) for model in models if _is_trained(config.output, *model)]
    wanted = [_label(*model) for model in models]
    keep_settings(parser, config, config.output / RECORD, wanted=wanted, there=there, among="names", free=FREE_SETTINGS)


if __name__ == "__main__":
    main()
