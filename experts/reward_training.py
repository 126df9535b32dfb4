"""Trains one reward model per dimension from labelled pairs of answers, several of them side by side.

    python -m experts.reward_training --config configs/miniature/rewards.yaml

Knows the pairs on disk, processes and settings. Does not know how a reward model learns (`reward_learning`).
"""

import json
import multiprocessing
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
from rich.console import Console

from decoding.mistakes import exit_status
from experts.ensemble import ENSEMBLE_FILE, member_folder
from experts.hub import BASE_FILES, located
from experts.labelled_pairs import most_pairs_first, read_split
from experts.names import listed
from experts.reward_learning import METRICS_FILE, train_reward
from experts.reward_progress import Report, StepReport, show_progress
from experts.reward_worth import measure_ensemble
from experts.settings import keep_settings
from experts.workers import end_with_parent

RECORD = "reward_training.yaml"
FREE_SETTINGS = frozenset({"output", "names", "workers", "members"})
"""What may change while a run is interrupted: none of it changes what a reward model becomes."""


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
        place = located(base, BASE_FILES, "a base")
        _train_side_by_side(todo, place, pairs, output, workers, seed, settings)
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
    base: Path,
    pairs: Path,
    output: Path,
    workers: int,
    seed: int,
    settings: tuple[float, float, int, bool],
) -> None:
    """Trains the models, each a name with the number of a member."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(workers, context, end_with_parent) as pool:
        queue: Queue[Report] = manager.Queue()
        futures = {}
        for name, number in models:
            label = _label(name, number)
            places = name, base, pairs, member_folder(output / name, number)
            futures[label] = pool.submit(_train_in_worker, label, *places, seed + number - 1, queue, *settings)
        show_progress(futures, queue)


def command_parser() -> ArgumentParser:
    """The parser of this command."""
    parser = ArgumentParser(description="Trains one reward model per dimension from labelled pairs.")
    parser.add_function_arguments(train_rewards, as_positional=False)
    parser.add_argument("--config", action="config")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Keeps the resolved configuration beside the output, trains, and gives the exit status.

    A mistake is one line on standard error.
    """
    parser = command_parser()
    config = parser.parse_args(arguments)
    values = config.as_dict()
    values.pop("config")

    def work() -> None:
        _keep_settings(parser, config)
        for name, metrics in train_rewards(**values).items():
            Console().print(f"{name:<14} {metrics}")

    return exit_status(work)


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
    raise SystemExit(main())
