"""From methods to outcomes: answer every question every way, keep the answers, score them.

Knows the order of things: which runs there are, that finished ones are not done again, and a progress bar.
Does not know how an answer is made, how it is judged or how numbers are shown.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TypeVar

import torch
from rich.progress import Progress

from comparison.archive import Archive, Run
from comparison.combinations import Combination
from comparison.decoding import Decoded, answers_together, in_parts
from comparison.methods import Method
from comparison.outcomes import Outcome
from comparison.scorers import Scorer
from decoding.sampling import Sampling
from experts.miniature.corpus import Prompt

Draws = Mapping[float, Sequence[int]]
"""The decoding seeds at each temperature."""
Kept = TypeVar("Kept")
"""Whatever there is of a run: its answers, or their scores."""


def draws(seeds: int) -> Draws:
    """Gives temperature 1 with this many seeds, and temperature 0 with one: it is deterministic.

    Raises:
        ValueError: If there is not at least one seed.
    """
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {seeds}")
    return {1.0: range(seeds), 0.0: range(1)}


def groups(method: Method, preferences: Sequence[Combination], planned: Draws) -> Iterator[list[Run]]:
    """Gives the runs of a method, those that differ in the preference alone together.

    A method that does not listen answers once for all preferences, asked for nothing.
    """
    asked = preferences if method.listens else [()]
    for temperature, seeds in planned.items():
        for seed in seeds:
            yield [Run(method.name, one, temperature, seed) for one in asked]


def runs(method: Method, preferences: Sequence[Combination], planned: Draws) -> Iterator[Run]:
    """Gives the runs of a method, one for each preference, temperature and seed."""
    return chain.from_iterable(groups(method, preferences, planned))


def by_preference(
    method: Method,
    preferences: Sequence[Combination],
    temperature: float,
    seeds: Sequence[int],
    kept: Mapping[Run, Kept],
) -> dict[Combination, list[Kept]]:
    """Gives what there is of a method's runs at one temperature: for each preference, that of its S seeds.

    Args:
        method: Whose runs they are; where it does not listen, every preference has the same ones.
        preferences: What is asked for.
        temperature: Of the draws.
        seeds: Of the draws (S).
        kept: Something of each run.
    """
    return {
        asked: [kept[Run(method.name, asked if method.listens else (), temperature, seed)] for seed in seeds]
        for asked in preferences
    }


def answer_all(
    methods: Sequence[Method],
    preferences: Sequence[Combination],
    planned: Draws,
    archive: Archive,
    max_new_tokens: int,
    progress: Progress,
) -> None:
    """Answers every question every way, and leaves the answers in the archive.

    Args:
        methods: Who answers.
        preferences: What is asked for.
        planned: Temperatures and seeds.
        archive: Gets each run as soon as it is finished; those that are there are skipped.
        max_new_tokens: The most tokens of an answer.
        progress: Shows how many answers there are.
    """
    everything = [(method, group) for method in methods for group in groups(method, preferences, planned)]
    per_run = len(archive.conversations)
    bar = progress.add_task("answering", total=per_run * sum(len(group) for _, group in everything))
    for method, group in everything:
        progress.update(bar, description=f"{method.name}, temperature {group[0].temperature:g}")
        answered(method, group, archive, max_new_tokens)
        progress.advance(bar, per_run * len(group))


@torch.no_grad()
def answered(method: Method, group: Sequence[Run], archive: Archive, max_new_tokens: int) -> list[list[str]]:
    """Gives the answers of some runs (N each), from the archive where they are finished, else made and left there.

    What one mixture answers is decoded together. If anything of that is missing all of it is decoded again, for who
    stands beside an answer must not depend on when somebody interrupted; what is there stays as it is.

    Args:
        method: Answers.
        group: Runs of it that differ in the preference alone.
        archive: Has the questions, gets the answers.
        max_new_tokens: The most tokens of an answer.
    """
    found = [archive.read(run) for run in group]
    sampling = Sampling(temperature=group[0].temperature, max_new_tokens=max_new_tokens)
    if isinstance(method, Decoded) and any(texts is None for texts in found):
        made: list[list[str]] = []
        for part in in_parts([run.asked for run in group], method.at_once):
            requests = method.requests(archive.conversations, part, group[0].seed)
            made += answers_together(requests, sampling)
        kept = [new if old is None else old for old, new in zip(found, made, strict=True)]
        for run, texts in zip(group, kept, strict=True):
            archive.write(run, texts)
        return kept
    return [
        _alone(method, run, archive, sampling) if texts is None else texts
        for run, texts in zip(group, found, strict=True)
    ]


def _alone(method: Method, run: Run, archive: Archive, sampling: Sampling) -> list[str]:
    """The answers of one run, made and left in the archive."""
    made = method.respond(archive.conversations, run.asked, sampling, run.seed)
    archive.write(run, made)
    return made


def score_all(
    methods: Sequence[Method],
    preferences: Sequence[Combination],
    planned: Draws,
    archive: Archive,
    prompts: Sequence[Prompt],
    scorer: Scorer,
    progress: Progress,
) -> dict[str, dict[float, Outcome]]:
    """Gives the outcome of each method at each temperature; arguments as above.

    Raises:
        ValueError: If some run is not in the archive.
    """
    outcomes: dict[str, dict[float, Outcome]] = {}
    bar = progress.add_task("scoring", total=len(methods))
    for method in methods:
        scores = {}
        for run in runs(method, preferences, planned):
            scores[run] = scorer.score(prompts, archive.finished(run))
        outcomes[method.name] = {
            temperature: Outcome(by_preference(method, preferences, temperature, seeds, scores))
            for temperature, seeds in planned.items()
        }
        progress.advance(bar)
    return outcomes
