"""From methods to outcomes: answer every question every way, keep the answers, score them.

Knows the order of things: which runs there are, that finished ones are not done again, and a progress bar.
Does not know how an answer is made, how it is judged or how numbers are shown.
"""

import time
from collections.abc import Iterator, Mapping, Sequence

import torch
from rich.progress import Progress

from comparison.archive import Archive, Run
from comparison.combinations import Combination
from comparison.methods import Method
from comparison.outcomes import Outcome
from comparison.scorers import Scorer
from decoding.sampling import Sampling
from experts.miniature.corpus import Prompt

Draws = Mapping[float, Sequence[int]]
"""The decoding seeds at each temperature."""


def draws(seeds: int) -> Draws:
    """Gives temperature 1 with this many seeds, and temperature 0 with one: it is deterministic.

    Raises:
        ValueError: If there is not at least one seed.
    """
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {seeds}")
    return {1.0: range(seeds), 0.0: range(1)}


def runs(method: Method, preferences: Sequence[Combination], planned: Draws) -> Iterator[Run]:
    """Gives the runs of a method, one for each preference, temperature and seed.

    A method that does not listen answers once for all preferences, asked for nothing.
    """
    for temperature, seeds in planned.items():
        for asked in preferences if method.listens else [()]:
            for seed in seeds:
                yield Run(method.name, asked, temperature, seed)


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
    planned_runs = [(method, run) for method in methods for run in runs(method, preferences, planned)]
    per_run = len(archive.conversations)
    bar = progress.add_task("answering", total=per_run * len(planned_runs))
    for method, run in planned_runs:
        progress.update(bar, description=f"{method.name}, temperature {run.temperature:g}")
        answered(method, run, archive, max_new_tokens)
        progress.advance(bar, per_run)


def answered(method: Method, run: Run, archive: Archive, max_new_tokens: int) -> list[str]:
    """Gives the answers of one run (N), from the archive where it is finished, else made and left there.

    Args:
        method: Answers.
        run: One of its runs.
        archive: Has the questions, gets the answers and the seconds that they took.
        max_new_tokens: The most tokens of an answer.
    """
    found = archive.read(run)
    if found is None:
        sampling = Sampling(temperature=run.temperature, max_new_tokens=max_new_tokens)
        began = time.perf_counter()
        with torch.no_grad():
            found = method.respond(archive.conversations, run.asked, sampling, run.seed)
        archive.write(run, found, time.perf_counter() - began)
    return found


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
            found = archive.read(run)
            if found is None:
                raise ValueError(f"every run must be answered before it is scored, {run.path} is missing")
            scores[run] = scorer.score(prompts, found)
        outcomes[method.name] = {
            temperature: Outcome(
                {
                    asked: [scores[Run(method.name, asked if method.listens else (), temperature, s)] for s in seeds]
                    for asked in preferences
                }
            )
            for temperature, seeds in planned.items()
        }
        progress.advance(bar)
    return outcomes
