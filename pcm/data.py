"""Prompts from disk and preferences drawn over the axes, for the controller's training.

Knows conversations and dimensions. Does not know tokens or models. A batch is a function of seed and iteration
alone: a run that is taken up again draws what it would have drawn.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from decoding.conversation import Conversation, with_system
from decoding.dimension import Dimension, axes
from decoding.prompts import read_prompts
from pcm.wordings import Wordings


@dataclass  # not frozen: Lightning refuses to move frozen ones to a device
class Batch:
    """Prompts and what is asked of each answer.

    Args:
        number: the iteration the batch belongs to, or its place in the validation.
        conversations: the prompts, P of them.
        asked: how much each dimension is asked for (P, K).
        words: for each prompt the words in which it is told what is asked for, or None.
    """

    number: int
    conversations: list[Conversation]
    asked: Tensor
    words: list[str | None]

    @property
    def heard(self) -> list[Conversation]:
        """The prompts as whoever answers them reads them: behind their words."""
        pairs = zip(self.words, self.conversations, strict=True)
        return [one if text is None else with_system(text, one) for text, one in pairs]


class Preferences:
    """Draws preferences: one pole of some axes, with intensities.

    Args:
        dimensions: the K dimensions; two of which one is the other's opposite are one axis, a lone one is an axis too.
        whole: chance that every axis is asked for; otherwise one to all but one of them.
        plain: chance that all intensities are 1; otherwise Dirichlet shares (largest 1) or uniform ones, evenly.
        withheld: names joined by +, such as `friendly+concise`: what asks for all of them at once is never drawn.

    Raises:
        ValueError: if something unknown is withheld, or everything that asks for one pole of each axis.
    """

    def __init__(
        self,
        dimensions: Sequence[Dimension],
        whole: float = 0.7,
        plain: float = 0.75,
        withheld: Sequence[str] = (),
    ) -> None:
        names = [dimension.name for dimension in dimensions]
        self.axes = [sorted(names.index(pole) for pole in axis) for axis in axes(dimensions)]
        self.count, self.whole, self.plain = len(names), whole, plain
        if unknown := sorted({part for one in withheld for part in one.split("+")} - set(names)):
            raise ValueError(f"what is withheld must be of {', '.join(names)} joined by +, got {', '.join(unknown)}")
        self.withheld = [{names.index(part) for part in one.split("+")} for one in withheld]
        everything = (poles[::-1] for poles in product(*reversed(self.axes)))  # the first axis changes fastest
        self.whole_ones = [poles for poles in everything if self.allowed(poles)]
        if not self.whole_ones:
            raise ValueError(f"some preference for a pole of each axis must be left, got all withheld by {withheld}")

    def allowed(self, poles: Sequence[int]) -> bool:
        """Whether nothing withheld is among the asked poles."""
        return not any(held <= set(poles) for held in self.withheld)

    def combination(self, number: int) -> Tensor:
        """Gives the asked poles (K,) of one of the ∏ |axis| full combinations, counted round and round."""
        asked = torch.zeros(self.count)
        asked[list(self.whole_ones[number % len(self.whole_ones)])] = 1.0
        return asked

    def poles(self, generator: torch.Generator) -> list[int]:
        """Gives the asked poles of one preference."""
        axes = torch.randperm(len(self.axes), generator=generator).tolist()
        if len(axes) > 1 and chance(generator) >= self.whole:
            axes = axes[: 1 + below(len(axes) - 1, generator)]
        return [self.axes[axis][below(len(self.axes[axis]), generator)] for axis in axes]

    def draw(self, generator: torch.Generator) -> Tensor:
        """Gives one preference (K,), with values in (0, 1] at the asked poles."""
        poles = self.poles(generator)
        while not self.allowed(poles):
            poles = self.poles(generator)
        asked = torch.zeros(self.count)
        asked[poles] = self.intensities(len(poles), generator)
        return asked

    def intensities(self, count: int, generator: torch.Generator) -> Tensor:
        """Gives how much each of the asked poles is asked for (count,), in (0, 1]."""
        if chance(generator) < self.plain:
            return torch.ones(count)
        numbers = torch.rand(count, generator=generator)
        if chance(generator) < 0.5:
            return 0.1 + 0.9 * numbers
        shares = -(1.0 - numbers).log() + 1e-3  # exponential numbers over their sum are Dirichlet(1, …, 1)
        return (shares / shares.max()).clamp_min(0.05)


class Iterations(Dataset[Batch]):
    """Training batches by iteration: distinct prompts and a fresh preference for each.

    Args:
        prompts: the training prompts.
        preferences: what to draw preferences from.
        pairs: number P of (prompt, preference) pairs in a batch.
        seed: of everything drawn.
        rank: which of several processes draws.
        processes: how many there are; together their batches are the one that a single process with P · processes
            pairs would draw.
        wordings: says some of the preferences in words.
    """

    def __init__(
        self,
        prompts: Sequence[Conversation],
        preferences: Preferences,
        pairs: int,
        seed: int,
        rank: int = 0,
        processes: int = 1,
        wordings: Wordings | None = None,
    ) -> None:
        self.prompts, self.preferences, self.pairs, self.seed = prompts, preferences, pairs, seed
        self.rank, self.processes, self.wordings = rank, processes, wordings or Wordings()

    def __getitem__(self, index: int) -> Batch:
        """Gives the batch of one iteration."""
        generator = torch.Generator().manual_seed(self.seed * 1009 * 1_000_003 + index)
        everything = self.pairs * self.processes
        rounds = -(-everything // len(self.prompts))  # each prompt once before any comes twice
        order = torch.cat([torch.randperm(len(self.prompts), generator=generator) for _ in range(rounds)])
        asked = torch.stack([self.preferences.draw(generator) for _ in range(everything)])
        words = [self.wordings.draw(one, generator) for one in asked]
        mine = slice(self.rank * self.pairs, (self.rank + 1) * self.pairs)
        return Batch(index, [self.prompts[i] for i in order[:everything][mine].tolist()], asked[mine], words[mine])


class Schedule(Sampler[int]):
    """The iterations of an epoch, counted on over epochs.

    Args:
        length: iterations in an epoch.
        done: tells how many are done when an epoch begins, also after a restart.
    """

    def __init__(self, length: int, done: Callable[[], int]) -> None:
        self.length, self.done = length, done

    def __iter__(self) -> Iterator[int]:
        """Counts the iterations of the epoch; asks when the first is drawn, for Lightning makes iterators early."""
        first = self.done()
        yield from range(first, first + self.length)

    def __len__(self) -> int:
        """Gives the iterations of an epoch."""
        return self.length


class PromptsAndPreferences(LightningDataModule):
    """Prompts × preferences.

    Args:
        dimensions: the K dimensions, in the experts' order.
        train: JSONL of `{"messages": [...]}`.
        validation: the same with other prompts.
        pairs: (prompt, preference) pairs in an iteration, of each process.
        iterations: iterations in an epoch; a validation follows each epoch.
        validation_pairs: pairs of the validation: its first prompts, each with the next full combination.
        validation_batch: pairs decoded at once.
        seed: of prompts and preferences.
        withheld: names joined by +, such as `friendly+concise`, that are never asked for together: to see what a
            controller makes of combinations that it has not met.
        wordings: JSONL of `{"text": str, "asked": {name: number}}`, for prompts that are told what is asked for.
        told: share of the prompts that are told, of those whose preference can be said, in training and in validation:
            for a controller that serves requests whose preference stands in the prompt too (`decode.py --tell`).
    """

    def __init__(
        self,
        dimensions: tuple[Dimension, ...],
        train: str,
        validation: str,
        pairs: int = 56,
        iterations: int = 10,
        validation_pairs: int = 128,
        validation_batch: int = 64,
        seed: int = 0,
        withheld: list[str] | None = None,
        wordings: str | None = None,
        told: float = 0.0,
    ) -> None:
        super().__init__()
        self.wordings = Wordings.read(wordings, [dimension.name for dimension in dimensions], told)
        self.preferences = Preferences(dimensions, withheld=withheld or ())
        self.train, self.validation = train, validation
        self.pairs, self.iterations, self.seed = pairs, iterations, seed
        self.validation_pairs, self.validation_batch = validation_pairs, validation_batch

    def train_dataloader(self) -> DataLoader:
        """Gives one batch for each iteration."""
        trainer = self.trainer
        assert trainer is not None  # it asks for this loader
        prompts = read_prompts(self.train)
        processes = (trainer.global_rank, trainer.world_size)
        batches = Iterations(prompts, self.preferences, self.pairs, self.seed, *processes, self.wordings)
        progress = trainer.fit_loop.epoch_loop.batch_progress  # restored from a checkpoint before the epoch begins
        schedule = Schedule(self.iterations, lambda: progress.total.completed)
        return DataLoader(batches, batch_size=None, sampler=schedule)

    def val_dataloader(self) -> DataLoader:
        """Gives the validation, the same pairs in the same batches every time."""
        prompts = read_prompts(self.validation)[: self.validation_pairs]
        asked = torch.stack([self.preferences.combination(number) for number in range(len(prompts))])
        generator = torch.Generator().manual_seed(self.seed)
        words = [self.wordings.draw(one, generator) for one in asked]
        parts = [slice(start, start + self.validation_batch) for start in range(0, len(prompts), self.validation_batch)]
        batches = [Batch(part.start, prompts[part], asked[part], words[part]) for part in parts]
        return DataLoader(batches, batch_size=None)  # type: ignore[arg-type]


def chance(generator: torch.Generator) -> float:
    """Gives a number in [0, 1)."""
    return float(torch.rand((), generator=generator))


def below(bound: int, generator: torch.Generator) -> int:
    """Gives a whole number in [0, bound)."""
    return int(torch.randint(bound, (), generator=generator))
