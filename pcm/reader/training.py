"""Teaches a reader which dimensions a text asks for, from examples of texts and the sets they ask for.

Knows the reader and its loss. Does not know where the examples come from; `pcm.reader.batches` knows how they vary.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from decoding.dimension import Dimension
from decoding.jsonl import read_rows
from pcm.reader.batches import Batch, Batches, Example
from pcm.reader.model import PreferenceReader

ASKING = 0.3
"""Share of the learning rate for the query: all it is given moves it the same way, so it moves further in a step."""
INVENTED = 0.3
"""Weight of an invented dimension beside a known one in the loss."""


def read_examples(path: str | Path) -> list[Example]:
    """Gives the examples of a JSONL file with lines `{"text": str, "asked": {name: number}}`.

    Raises:
        ValueError: if a line is no example, with its number.
    """
    return read_rows(path, _example)


def _example(row: Any) -> Example:
    return Example(row["text"], frozenset(name for name, number in row["asked"].items() if number > 0))


def read_reader(
    tokenizer: PreTrainedTokenizerBase,
    dimensions: Sequence[Dimension],
    folder: Path,
    *,
    embeddings: Tensor | None = None,
    seed: int = 0,
    steps: int = 6000,
) -> PreferenceReader:
    """Gives a reader trained on a folder's texts; a dimension that none of them asks for is heard by its description.

    Args:
        tokenizer: gives the token ids.
        dimensions: the K dimensions that can be asked for.
        folder: holds `train.jsonl` and `validation.jsonl`, see `read_examples`.
        embeddings: see `train_reader`.
        seed: see `train_reader`.
        steps: see `train_reader`.

    Raises:
        ValueError: as `read_examples` and `train_reader` do.
    """
    train, validation = (read_examples(folder / f"{split}.jsonl") for split in ("train", "validation"))
    spoken = {name for text in (*train, *validation) for name in text.asked}
    known = [one for one in dimensions if one.name in spoken]
    if unknown := sorted(spoken - {one.name for one in known}):
        raise ValueError(f"examples must ask for {', '.join(one.name for one in dimensions)}, got {', '.join(unknown)}")
    reader = train_reader(tokenizer, known, train, validation, embeddings=embeddings, seed=seed, steps=steps)
    reader.dimensions = tuple(dimensions)
    return reader


def train_reader(
    tokenizer: PreTrainedTokenizerBase,
    dimensions: Sequence[Dimension],
    train: Sequence[Example],
    validation: Sequence[Example],
    *,
    embeddings: Tensor | None = None,
    seed: int,
    steps: int = 6000,
    learning_rate: float = 1e-2,
) -> PreferenceReader:
    """Gives a reader trained with multi-label cross-entropy and calibrated on the validation examples.

    Args:
        tokenizer: gives the token ids.
        dimensions: the K dimensions the examples name.
        train: examples to learn from.
        validation: examples with other phrasings, for the calibration and the figure in the progress bar only.
        embeddings: of the tokens in a language model (V, H), whose knowledge of words the reader starts with.
        seed: of initialisation and sampling.
        steps: number of batches of 64.
        learning_rate: highest rate of a one-cycle schedule.

    Raises:
        ValueError: if there are no examples or one names an unknown dimension.
    """
    check_examples(dimensions, [*train, *validation])
    with torch.random.fork_rng(devices=[]):  # initialisation and dropout draw from the global generator
        torch.manual_seed(seed)
        reader = PreferenceReader(tokenizer, dimensions)
        if embeddings is not None:
            reader.start_from(embeddings.detach().cpu())
        reader.note_common()
        batches = Batches(tokenizer, dimensions, train, seed)
        asking = list(reader.query.parameters())
        others = [parameter for name, parameter in reader.named_parameters() if not name.startswith("query.")]
        rates = [learning_rate, ASKING * learning_rate]
        optimizer = torch.optim.AdamW([{"params": others}, {"params": asking}], lr=learning_rate, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps, pct_start=0.1)
        with progress() as bar:
            task = bar.add_task("reader", total=steps, loss=float("nan"), exact=float("nan"))
            for step in range(steps):
                loss = learn(reader, batches.draw(), optimizer)
                schedule.step()
                if (step + 1) % max(1, steps // 10) == 0:
                    bar.update(task, exact=exact_sets(reader, validation))
                bar.update(task, advance=1, loss=loss)
    calibrate(reader, validation)
    return reader.eval()


def check_examples(dimensions: Sequence[Dimension], examples: Sequence[Example]) -> None:
    """Refuses examples that name a dimension the reader does not know."""
    if not examples:
        raise ValueError("the reader needs examples to learn from, got none")
    known = {dimension.name for dimension in dimensions}
    for example in examples:
        if not example.asked <= known:
            unknown = ", ".join(sorted(example.asked - known))
            raise ValueError(f"examples must ask for {', '.join(sorted(known))}, got {unknown} in {example.text!r}")


def learn(reader: PreferenceReader, batch: Batch, optimizer: torch.optim.Optimizer) -> float:
    """Takes one step on a batch, and gives its loss in nats for each decision."""
    reader.train()
    logits = reader(batch.texts, batch.text_mask, batch.descriptions, batch.description_mask)
    weight = torch.full_like(batch.targets, INVENTED)
    weight[:, : len(reader.dimensions)] = 1.0
    loss = functional.binary_cross_entropy_with_logits(logits, batch.targets, weight)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def exact_sets(reader: PreferenceReader, examples: Sequence[Example]) -> float:
    """Gives the share of examples whose set of asked dimensions is read without a mistake, in [0, 1]."""
    if not examples:
        return float("nan")
    reader.eval()
    heard = reader.probabilities([example.text for example in examples]) >= 0.5
    return float((heard == targets_of(reader, examples)).all(-1).float().mean())


def calibrate(reader: PreferenceReader, examples: Sequence[Example]) -> None:
    """Sets the temperature, at least 1, that makes the examples most likely (1706.04599); 1 without examples.

    Never below 1: examples whose phrasings are known flatter, and the reader would be surer than it has a right to be.
    """
    if not examples:
        return
    reader.eval()
    reader.temperature.fill_(1.0)
    logits = reader.probabilities([example.text for example in examples]).double().logit(eps=1e-9)
    targets = targets_of(reader, examples).double()
    candidates = torch.logspace(0, 1, 41, dtype=torch.double)
    losses = [functional.binary_cross_entropy_with_logits(logits / candidate, targets) for candidate in candidates]
    reader.temperature.fill_(float(candidates[int(torch.stack(losses).argmin())]))


def targets_of(reader: PreferenceReader, examples: Sequence[Example]) -> Tensor:
    """Gives where each example asks for each dimension (N, K), bool."""
    return torch.tensor([[dimension.name in example.asked for dimension in reader.dimensions] for example in examples])


def progress() -> Progress:
    """Gives the bar with steps, loss and the share of exact sets on the validation examples."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}  exact sets {task.fields[exact]:.1%}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
