"""Copies of the experts at fixed updates of their training, as ordinary PEFT folders: `snapshots/<update>/<name>/`.

Knows Lightning's callbacks and where copies lie. Does not know how experts are trained nor what the copies are for.
"""

from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from experts.joint import JointPPO


def snapshot(output: Path, update: int, name: str) -> Path:
    """Where the copy of an expert lies.

    Args:
        output: of the training.
        update: after which it was made, counted from one.
        name: of the expert.
    """
    return output / "snapshots" / str(update) / name


class Snapshots(Callback):
    """Copies every expert every so many updates; a resumed run writes the same copies again."""

    def __init__(self, output: Path, every: int) -> None:
        """Writes into `output/snapshots` every `every` updates.

        Raises:
            ValueError: if the number of updates is not positive.
        """
        if every < 1:
            raise ValueError(f"there must be at least 1 update between snapshots, got {every}")
        self.output, self.every = output, every

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Copies the experts as the update left them."""
        if not trainer.is_global_zero or (batch_idx + 1) % self.every:
            return
        assert isinstance(pl_module, JointPPO)
        for name in pl_module.names:
            pl_module.bank.save(name, snapshot(self.output, batch_idx + 1, name))
