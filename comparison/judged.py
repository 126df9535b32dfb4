"""What a judge of pairs says about the reference beside every other method.

Knows results and a judge. Does not know how the judge decides.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from rich.progress import Progress

from comparison.combinations import Combination
from comparison.scorers import Array
from comparison.study import Results
from evaluation.intervals import estimate
from experts.miniature.corpus import Prompt


class PairJudge(Protocol):
    """Says which of two answers is better."""

    def wins(self, prompts: Sequence[Prompt], ours: Sequence[str], theirs: Sequence[str], asked: Combination) -> Array:
        """Gives 1 where ours is better, 0 where theirs is, else one half (N,)."""


def win_rates(
    results: Results, reference: str, prompts: Sequence[Prompt], judge: PairJudge, progress: Progress
) -> dict[str, dict[str, float]]:
    """Gives how often the reference's first answers win against those of each other method, a tie as half.

    Args:
        results: Of a study; each method at its chosen temperature.
        reference: The method that is held against the others.
        prompts: The report's questions (N).
        judge: Decides.
        progress: Shows how far it is.
    """
    ours = results.chosen(reference).texts
    others = [name for name in results.records if name != reference]
    bar = progress.add_task("judging pairs", total=len(others) * len(ours))
    found = {}
    for other in others:
        theirs = results.chosen(other).texts
        columns: list[Array] = []
        for asked in ours:
            columns.append(judge.wins(prompts, ours[asked][0], theirs[asked][0], asked))
            progress.advance(bar)
        found[other] = estimate(np.stack(columns, axis=1)).as_dict()
    return found
