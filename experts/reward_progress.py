"""Progress of reward models that train in other processes, drawn as one bar each.

Knows queues, futures and rich. Does not know what is trained.
"""

from collections.abc import Mapping
from concurrent.futures import Future
from queue import Empty, Queue

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

Report = tuple[str, int, int]
"""Name of a model, steps done, steps in all."""


class StepReport(TrainerCallback):
    """Puts `(name, steps done, steps in all)` into a queue after every step, so that another process can show it."""

    def __init__(self, name: str, queue: "Queue[Report]") -> None:
        """Reports under `name` into `queue`."""
        self.name, self.queue = name, queue

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Reports the step which just ended."""
        self.queue.put((self.name, state.global_step, state.max_steps))


def show_progress(futures: Mapping[str, Future[dict[str, float]]], queue: "Queue[Report]") -> None:
    """Draws one bar per model until every future is done; the first error of a worker is raised here."""
    columns = TextColumn("{task.description:<14}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, TextColumn("{task.fields[result]}")) as progress:
        bars = {name: progress.add_task(name, total=None, start=False, result="waiting") for name in futures}
        running = dict(futures)
        while running:
            _drain(queue, progress, bars)
            for name in [name for name, future in running.items() if future.done()]:
                metrics = running.pop(name).result()
                progress.update(bars[name], result="held-out accuracy {accuracy:.3f}".format(**metrics))
                progress.stop_task(bars[name])


def _drain(queue: "Queue[Report]", progress: Progress, bars: dict[str, TaskID], patience: float = 0.2) -> None:
    try:
        while True:
            name, done, total = queue.get(timeout=patience)
            if done == 1:
                progress.start_task(bars[name])
            progress.update(bars[name], completed=done, total=total, result="")
    except Empty:
        return
