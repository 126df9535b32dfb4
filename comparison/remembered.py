"""Scores that are kept on disk, so that a comparison that was stopped does not score again.

Knows files and arrays. Does not know how a score came about.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from comparison.archive import write_whole
from comparison.decoding import drawn
from comparison.scorers import Scorer, Scores
from experts.miniature.corpus import Prompt


class Remembered:
    """A scorer that asks another one only for what it has not scored before."""

    def __init__(self, scorer: Scorer, folder: Path, identity: str) -> None:
        """Keeps scores in a folder.

        Args:
            scorer: Is asked once for every list of answers.
            folder: One file for each list.
            identity: What the scores depend on beside questions and answers.
        """
        self.scorer, self.folder, self.identity = scorer, folder, identity

    def score(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> Scores:
        """Gives the scores of one answer to each prompt."""
        key = drawn(self.identity, [prompt.messages for prompt in prompts], list(answers))
        path = self.folder / f"{key:014x}.json"
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            dimensions = {name: np.array(values) for name, values in kept["dimensions"].items()}
            return Scores(np.array(kept["quality"]), dimensions)
        found = self.scorer.score(prompts, answers)
        content = {
            "quality": found.quality.tolist(),
            "dimensions": {name: values.tolist() for name, values in found.dimensions.items()},
        }
        write_whole(path, [json.dumps(content)])
        return found
