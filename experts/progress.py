"""What a person sees of the experts' training: a live table, and a log of answers.

Knows Lightning's callbacks and what `JointPPO.training_step` returns. Does not know how experts are trained.
"""

import json
import math
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from experts.exam import Answers

COLUMNS = {
    "reward": "reward",
    "quality": "quality",
    "kl": "kl",
    "entropy": "entropy",
    "length": "length",
    "ended": "ended",
    "clip_fraction": "clipped",
    "explained_variance": "explained",
    "kl_coefficient": "kl cost",
}
"""The metrics of the table with their headings, short enough for 80 columns."""


class ExpertTable(Callback):
    """A progress bar over a table with one line per expert; where there is no terminal, a printed line now and then."""

    def __init__(self, names: tuple[str, ...], updates: int, every: int = 10, console: Console | None = None) -> None:
        """Shows `updates` updates of the named experts.

        Args:
            names: of the experts, one line each.
            updates: length of the bar.
            every: how many updates pass between printed lines where there is no terminal.
            console: where to draw.
        """
        self.names, self.updates, self.every, self.console = names, updates, every, console or Console()
        timing = TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()
        self.progress = Progress(TextColumn("updates"), BarColumn(), MofNCompleteColumn(), *timing)
        self.bar = self.progress.add_task("updates", total=updates)
        self.live = Live(self.progress, console=self.console, refresh_per_second=2)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts drawing, in the first of several processes."""
        if trainer.is_global_zero:
            self.live.start()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leaves the last state on the screen."""
        self.live.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Gives the screen back."""
        self.live.stop()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Shows the update which just ended."""
        if not trainer.is_global_zero:
            return
        done = batch_idx + 1
        self.progress.update(self.bar, completed=done)
        self.live.update(Group(self.progress, self.table(outputs["metrics"])))
        if not self.console.is_terminal and (done % self.every == 0 or done == self.updates):
            self.console.print(f"update {done} of {self.updates}", self.table(outputs["metrics"]))

    def table(self, metrics: dict[str, Tensor]) -> Table:
        """One line per expert from metrics `(K,)`; what nothing measures stays empty."""
        table = Table("expert", *COLUMNS.values(), box=None, pad_edge=False, collapse_padding=True)
        for number, name in enumerate(self.names):
            numbers = [float(metrics[column][number]) for column in COLUMNS]
            table.add_row(name, *("" if math.isnan(value) else f"{value:.3f}" for value in numbers))
        return table


class AnswerLog(Callback):
    """Appends one answer of every expert to a JSONL file, every so many updates."""

    def __init__(self, path: Path, tokenizer: PreTrainedTokenizerBase, names: tuple[str, ...], every: int = 10) -> None:
        """Writes to `path`, decoded by the tokenizer, after the first and then every `every` updates."""
        self.path, self.tokenizer, self.names, self.every = path, tokenizer, names, every

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Logs each expert's answer to the first prompt of the batch."""
        if not trainer.is_global_zero or (batch_idx and (batch_idx + 1) % self.every):
            return
        answers: Answers = outputs["answers"]
        with self.path.open("a", encoding="utf-8") as log:
            for number in range(len(self.names)):
                row = number * len(batch)
                log.write(json.dumps({"update": batch_idx + 1, **self._entry(answers, row)}, ensure_ascii=False) + "\n")

    def _entry(self, answers: Answers, row: int) -> dict[str, object]:
        return {
            "expert": self.names[int(answers.experts[row])],
            "prompt": self._text(answers.prompt_ids[row], answers.prompt_mask[row]),
            "answer": self._text(answers.tokens[row], answers.mask[row]),
            "ended": bool(answers.ended[row]),
            "reward": round(float(answers.own[row]), 3),
            "quality": None if answers.quality[row].isnan() else round(float(answers.quality[row]), 3),
            "kl": round(float(answers.kl[row]), 2),
        }

    def _text(self, tokens: Tensor, mask: Tensor) -> str:
        """What was said, as judges read it: without the template's and the end's special tokens."""
        bare = self.tokenizer.decode(tokens[mask.bool()], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(bare).strip()
