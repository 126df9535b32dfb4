"""Our experts as a trainee: `experts.train` with the settings in a file, one update in every turn.

    python -m comparison.bench.training.our_trainee settings.json

Everything the command does is part of a turn: its guards, logs and checkpoints too. Knows how turns are spoken and
when an update is over. Does not know clocks.
"""

import sys
from typing import Any

from lightning import Callback, LightningModule, Trainer

from comparison.bench.training.turns import Turns
from comparison.command import quiet
from experts.train import command_parser, silence, train_experts

SHOWN = ("reward", "quality", "total", "kl", "length", "ended", "loss", "value_loss")


class InTurn(Callback):
    """Ends a turn when everything is ready for the first update, and after every update."""

    def __init__(self, turns: Turns) -> None:
        """Speaks by these turns."""
        self.turns = turns

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ends the turn in which everything was built."""
        self.turns.done()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Ends the turn of an update."""
        self.turns.done(**{name: outputs["metrics"][name].tolist() for name in SHOWN})


def main(arguments: list[str] | None = None) -> None:
    """Trains what the file of settings says."""
    (settings,) = sys.argv[1:] if arguments is None else arguments
    turns = Turns()
    quiet()
    silence()
    values = command_parser().parse_args(["--config", settings]).as_dict()
    values.pop("config")
    turns.done()
    train_experts(**values, callbacks=[InTurn(turns)])


if __name__ == "__main__":
    main()
