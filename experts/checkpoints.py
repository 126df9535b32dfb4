"""Checkpoints of a training that may be killed at any moment: two are kept, a damaged one is never used.

Knows files and Lightning's way to save. Does not know what is trained, but for the names of the experts.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from lightning import Callback, LightningModule, Trainer
from rich.console import Console

from experts.adapters import CONFIG_FILE

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"


class LastCheckpoint(Callback):
    """Keeps the last checkpoint and the one before it, each put in its place whole, every so many updates."""

    def __init__(self, path: Path, every: int = 10, suspicious: Callable[[], bool] = lambda: False) -> None:
        """Writes to `path` every `every` updates, and moves what was there to `previous.ckpt` beside it.

        Args:
            path: of the last checkpoint.
            every: updates between two.
            suspicious: whether the update that just ended should not be kept; the next that may be is kept instead.
        """
        self.path, self.every, self.suspicious = path, every, suspicious
        self.due = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves beside the old checkpoints, then takes their places; at no moment is there no whole one."""
        self.due = self.due or (batch_idx + 1) % self.every == 0
        if not self.due or self.suspicious():
            return
        self.due = False
        unfinished = self.path.with_suffix(".unfinished")
        trainer.save_checkpoint(unfinished, weights_only=False)  # with optimiser and loop
        if trainer.is_global_zero:
            with unfinished.open("rb") as written:
                os.fsync(written.fileno())
            if self.path.exists() and damage(self.path) is None:  # else the one before it is the whole one
                self.path.replace(self.path.with_name(PREVIOUS))
            unfinished.replace(self.path)


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint's file, by the checksums in it; None if nothing is."""
    try:
        with ZipFile(path) as archive:
            broken = archive.testzip()
    except (BadZipFile, OSError) as problem:
        return str(problem)
    return None if broken is None else f"{broken} does not fit its checksum"


def remaining(folder: Path, names: Sequence[str]) -> list[str]:
    """Those of the experts that are still to be trained: all, where their training was interrupted or nothing is there.

    Args:
        folder: where checkpoints and finished experts lie.
        names: the experts that shall be there in the end.
    """
    missing = [name for name in names if not _is_written(folder, name)]
    return list(names) if missing and _last_trained(folder) == list(names) else missing


def begun(folder: Path, names: Sequence[str]) -> list[str]:
    """Those of the experts that are finished, or that the last whole checkpoint is of.

    Args:
        folder: where checkpoints and finished experts lie.
        names: of the experts that are asked for.
    """
    trained = _last_trained(folder)
    return [name for name in names if name in trained or _is_written(folder, name)]


def newest_whole(folder: Path, names: Sequence[str], console: Console | None = None) -> Path | None:
    """The checkpoint from which the training of these experts goes on; None where it starts.

    A damaged file is named. Checkpoints of other experts, all of which are finished, are none of this training's.

    Args:
        folder: where checkpoints and finished experts lie.
        names: the experts to train.
        console: where a damaged file is named.

    Raises:
        ValueError: if there are checkpoints but all are damaged, or other experts are unfinished here.
    """
    damaged = {}
    for path in (folder / LAST, folder / PREVIOUS):
        if not path.exists():
            continue
        if trouble := damage(path):
            damaged[path] = trouble
            (console or Console()).print(f"{path} is damaged and not used: {trouble}", soft_wrap=True)
            continue
        trained = _trained(path)
        if trained == list(names):
            return path
        if missing := [name for name in trained if not _is_written(folder, name)]:
            raise ValueError(
                f"{folder} must hold no unfinished training of other experts, got one of {trained} that has not "
                f"written {missing}: finish it, or name another output"
            )
    if damaged:
        raise ValueError(f"a checkpoint must be whole, got damage in {[*map(str, damaged)]}; remove them to start anew")
    return None


def _last_trained(folder: Path) -> list[str]:
    """The experts that the last whole checkpoint is of; none where there is no such checkpoint."""
    whole = (path for path in (folder / LAST, folder / PREVIOUS) if path.exists() and damage(path) is None)
    return next((_trained(path) for path in whole), [])


def _trained(checkpoint: Path) -> list[str]:
    """The experts that a checkpoint is of."""
    return list(torch.load(checkpoint, map_location="cpu", weights_only=True)["experts"])


def _is_written(folder: Path, name: str) -> bool:
    """Whether an expert is finished."""
    return (folder / name / CONFIG_FILE).exists()
