"""Trains one expert per dimension, all together, against learned reward models.

    python -m experts.train --config configs/miniature/experts.yaml

With `objectives` it trains specialists for whole preferences, or one policy for all of them, in the same way.

Knows the folders: base and reward models in, ordinary PEFT adapters, logs and checkpoints out. A run that was killed
goes on from its last whole checkpoint when started again, and ends with the same weights. A run in which an expert
collapses stops and says what to change. Several processes (`--devices 2`) end with the weights of one.
"""

import logging
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse import ArgumentParser, Namespace
from lightning import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from decoding.conversation import encode_prompts
from decoding.mistakes import exit_status
from decoding.prompts import read_prompts
from experts.bank import AdapterConfig, ExpertBank
from experts.checkpoints import LAST, LastCheckpoint, begun, newest_whole, remaining
from experts.exam import Exam
from experts.guards import CollapseError, Guards
from experts.hub import BASE_FILES, located
from experts.joint import JointPPO
from experts.names import listed
from experts.objectives import chosen, held_mask, needed, require_held, shares
from experts.progress import AnswerLog, ExpertTable
from experts.prompts import PromptStream, read_asked
from experts.references import kept_references
from experts.reward_sources import Source, load_rewards, reward_names
from experts.settings import keep_settings
from experts.snapshots import Snapshots
from experts.text_rewards import Dialogues

RECORD = "train.yaml"
FREE_SETTINGS = frozenset(
    {"output", "dimensions", "save_every", "snapshot_every", "log_answers_every", "wandb_project", "guards"}
    | {"accelerator", "devices", "num_nodes", "strategy"}
)
"""What may change while a run is interrupted: none of it changes what an expert becomes."""
Precision = Literal["32-true", "bf16-mixed", "64-true"]
"""Of Lightning's, those in which adapters are kept in at least float32 and gradients need no scaling."""


def command_parser() -> ArgumentParser:
    """The parser of this command; under `exam`, `ppo` and `guards` it takes the arguments of these classes."""
    parser = ArgumentParser(description="Trains one expert per dimension, all together.")
    parser.add_function_arguments(train_experts, as_positional=False, skip={"exam", "ppo", "guards", "callbacks"})
    given = {"bank", "rewards", "references", "prompts", "end_id", "pad_id", "shares", "held"}
    parser.add_class_arguments(Exam, "exam", skip=given, instantiate=False)
    parser.add_class_arguments(JointPPO, "ppo", skip={"exam"}, instantiate=False)
    parser.add_class_arguments(Guards, "guards", skip={"names"}, instantiate=False)
    parser.add_argument("--config", action="config")
    return parser


def train_experts(
    base: str | Path,
    rewards: dict[str, Source] | Path,
    prompts: Path,
    output: Path,
    exam: dict[str, Any],
    ppo: dict[str, Any],
    guards: dict[str, Any],
    dimensions: list[str] | str | None = None,
    objectives: dict[str, list[str]] | None = None,
    held: dict[str, list[str]] | None = None,
    prompts_per_update: int = 32,
    rank: int = 8,
    alpha: float = 16,
    target_modules: str | list[str] = "all-linear",
    lower_bound: float = 0.0,
    save_every: int = 5,
    snapshot_every: int | None = None,
    log_answers_every: int = 10,
    wandb_project: str | None = None,
    accelerator: str = "auto",
    devices: int | str | list[int] = "auto",
    num_nodes: int = 1,
    strategy: Literal["auto", "ddp"] = "auto",
    precision: Precision = "32-true",
    callbacks: Sequence[Callback] = (),
) -> None:
    """Leaves one PEFT folder per dimension in `output`; does nothing if they are all there.

    Args:
        base: folder or hub id (`owner/name`, `owner/name@revision`) of the base model.
        rewards: folder of reward models, one per dimension and one for quality; or for each of these names a reward:
            the folder of one reward model, a folder or hub id of a sequence classifier, `package.module:function`, or
            an ensemble with members and a lower bound of its own, `{folder: ..., members: 3, lower_bound: 1.0}`.
        prompts: JSONL with rows `{"messages": [...]}`, and `"asked": [...]` where an objective is what a prompt asks.
        output: receives adapters, `last.ckpt` and the one before it, `answers.jsonl`, `logs/` and reference answers.
        exam: further arguments of `Exam`.
        ppo: further arguments of `JointPPO`.
        guards: further arguments of `Guards`.
        dimensions: which experts to train, a list or `one,another`; all that have an objective if none are given.
        objectives: by name of an expert, the rewards whose mean it is paid beside quality, `[]` for those that each
            prompt asks for; if none are given, an expert for every reward but quality, paid by it alone.
        held: by name of an expert, rewards that it is not paid for and shall leave where the base's own answers are: an
            expert for kind answers should not make them short. One pole of an axis is enough.
        prompts_per_update: every expert answers each of them once.
        rank: of the adapters.
        alpha: LoRA scale.
        target_modules: what the adapters act on.
        lower_bound: standard deviations that the score of an ensemble of reward models lies below its members' mean.
        save_every: updates between checkpoints.
        snapshot_every: updates between copies of the experts that stay in `output/snapshots`; none if not given.
        log_answers_every: updates between logged answers.
        wandb_project: also logs to this project of Weights & Biases; wandb must be installed.
        accelerator: Lightning's.
        devices: Lightning's; the prompts of an update are shared evenly among them.
        num_nodes: Lightning's.
        strategy: Lightning's; each process holds the base and all experts.
        precision: Lightning's.
        callbacks: told about every update, after everything else is done with it.

    Raises:
        ValueError: if something that must be there is not; the message says what.
        FileNotFoundError: if the base is nowhere.
        CollapseError: if an expert collapses; its last good checkpoint is kept.
    """
    known = reward_names(rewards)
    aims = chosen(objectives, known, listed(dimensions))
    require_held(held or {}, objectives, known)
    untrained = remaining(output, list(aims))
    if there := [name for name in aims if name not in untrained]:
        Console().print(f"{output} holds {', '.join(there)} already")
    aims = {name: aims[name] for name in untrained}
    if not aims:
        return
    base = located(base, BASE_FILES, "a base")
    tokenizer = AutoTokenizer.from_pretrained(base)
    # Lightning would widen numbers only after it has read a checkpoint, whose last digits would be lost
    dtype = torch.float64 if precision == "64-true" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    most = ppo["updates"] * prompts_per_update
    conversations, asked = read_prompts(prompts)[:most], read_asked(prompts)[:most]
    encoded = encode_prompts(tokenizer, conversations)
    paying = needed(aims, known, asked, held)
    reward_models = load_rewards(rewards, model, Dialogues(tokenizer, conversations, encoded), paying, lower_bound)
    targets = target_modules if isinstance(target_modules, str) else tuple(target_modules)
    bank = fresh_bank(model, list(aims), AdapterConfig(rank, alpha, targets), ppo["seed"])
    watch = Guards(tuple(aims), **guards)
    told = [
        watch,
        ExpertTable(tuple(aims), ppo["updates"]),
        AnswerLog(output / "answers.jsonl", tokenizer, tuple(aims), log_answers_every),
        *([] if snapshot_every is None else [Snapshots(output, snapshot_every)]),
        LastCheckpoint(output / LAST, save_every, lambda: watch.suspicious),  # after what it should find on disk
        *callbacks,
    ]
    machines = {"accelerator": accelerator, "devices": devices, "num_nodes": num_nodes, "strategy": strategy}
    trainer = _trainer(_loggers(output, wandb_project), told, precision, machines)
    bank.to(trainer.strategy.root_device)  # reference answers are made where the experts will be trained
    reward_models.to(trainer.strategy.root_device)
    ends = tokenizer.eos_token_id, tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    references = kept_references(
        bank,
        reward_models,
        encoded,
        output / "references.safetensors",
        end_id=ends[0],
        pad_id=ends[1],
        max_new_tokens=exam["most_budget"],
        seed=ppo["seed"],
    )
    marked = {"shares": shares(aims, paying, asked), "held": held_mask(held or {}, list(aims), paying), **exam}
    module = JointPPO(Exam(bank, reward_models, references, encoded, *ends, **marked), **ppo)
    fit(trainer, module, prompts_per_update, output)
    if trainer.is_global_zero:
        for name in aims:
            bank.save(name, output / name)


def fresh_bank(model: PreTrainedModel, names: list[str], config: AdapterConfig, seed: int) -> ExpertBank:
    """A bank with an untrained adapter per name, which starts the same whoever is trained beside it."""
    bank = ExpertBank(model)
    for name in names:
        bank.add(name, config, generator=torch.Generator().manual_seed(seed ^ zlib.crc32(name.encode())))
    return bank


def fit(trainer: Trainer, module: JointPPO, prompts_per_update: int, output: Path) -> None:
    """Runs the updates that are left, from the last whole checkpoint in `output` if there is one."""
    checkpoint = newest_whole(output, module.names)
    stream = PromptStream(len(module.exam.prompts), prompts_per_update, module.updates, module.seed)
    try:
        trainer.fit(module, stream, ckpt_path=checkpoint, weights_only=True)
    except CollapseError as collapse:
        kept = newest_whole(output, module.names)
        before = f"{kept} holds the experts as they were before: copy it into another output to try other settings"
        found = "no checkpoint was written before" if kept is None else before
        raise CollapseError(f"{collapse}; {found}") from collapse


def _trainer(
    loggers: list[Logger], callbacks: list[Callback], precision: Precision, machines: dict[str, Any]
) -> Trainer:
    """Lightning's trainer, whose checkpoints and progress are ours."""
    return Trainer(
        max_epochs=1,
        precision=precision,
        logger=loggers,
        callbacks=callbacks,
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **machines,
    )


def _loggers(output: Path, wandb_project: str | None) -> list[Logger]:
    """CSV and TensorBoard in `output/logs`, and Weights & Biases if it is asked for."""
    table = CSVLogger(output, name="logs")
    loggers: list[Logger] = [table, TensorBoardLogger(output, name="logs", version=table.version)]
    if wandb_project is not None:
        try:
            loggers.append(WandbLogger(project=wandb_project, save_dir=output))
        except ModuleNotFoundError as missing:
            raise ValueError("wandb must be installed where wandb_project is given: pip install wandb") from missing
    return loggers


def silence() -> None:
    """Lets Lightning speak of what matters alone."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message="Found .* in eval mode")  # the frozen base is, on purpose


def main(arguments: list[str] | None = None) -> int:
    """Keeps the resolved configuration beside the output, trains, and gives the exit status.

    A mistake, or a collapse, is one line on standard error.
    """
    parser = command_parser()
    config = parser.parse_args(arguments)
    values = config.as_dict()
    values.pop("config")
    silence()

    def work() -> None:
        _keep_settings(parser, config)
        train_experts(**values)

    return exit_status(work, CollapseError)


def _keep_settings(parser: ArgumentParser, config: Namespace) -> None:
    """Keeps the resolved configuration beside the output.

    Raises:
        ValueError: if an expert is there, finished or not, that was trained with other settings.
    """
    names = list(chosen(config.objectives, reward_names(config.rewards), listed(config.dimensions)))
    there = begun(config.output, names)
    keep_settings(
        parser, config, config.output / RECORD, wanted=names, there=there, among="dimensions", free=FREE_SETTINGS
    )


if __name__ == "__main__":
    raise SystemExit(main())
