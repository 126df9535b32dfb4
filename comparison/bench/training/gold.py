"""What the experts of each way are worth: held-out questions at temperature 1, read by the comparison's scorer.

Knows PEFT folders, whoever left them, and scores. Does not know how anybody trained. All ways answer the same questions
with the same draws, and differences are paired by question.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from comparison.bench.training.timing import JOINT
from comparison.cases import own_case
from comparison.methods import Base, Expert
from comparison.scorers import Array, Scorer, Scores
from decoding.sampling import Sampling
from evaluation.intervals import difference, estimate
from experts.miniature.corpus import Prompt

BASE = "base"
MEASURES = ("own", "quality")
Worth = Mapping[str, Array]
"""By measure (N, K): the answers to each question by each expert."""


@torch.no_grad()
def worths(
    base: str,
    ways: Mapping[str, Mapping[str, Path]],
    questions: Sequence[Prompt],
    scorer: Scorer,
    max_new_tokens: int,
    seed: int,
) -> dict[str, Worth]:
    """Gives what the answers of each way's experts score on their own dimension, and their quality; the base's too.

    Args:
        base: Folder of the model the experts were trained on.
        ways: For each way the PEFT folder of each expert, by its dimension (K), the same dimensions for all.
        questions: None of which training saw (N).
        scorer: Reads the answers.
        max_new_tokens: The most tokens of an answer.
        seed: Of the draws.

    Raises:
        ValueError: If an adapter changes nothing, or does not fit the base.
    """
    conversations, sampling = [one.messages for one in questions], Sampling(max_new_tokens=max_new_tokens)
    found: dict[str, Worth] = {}
    for way, folders in ways.items():
        mixture = own_case(base, {name: str(folder) for name, folder in folders.items()}, {}, "anchored").mixture
        read = {}
        for name in folders:
            answers = Expert(mixture, name).respond(conversations, (name,), sampling, seed)
            read[name] = scorer.score(questions, answers)
        if BASE not in found:
            told = scorer.score(questions, Base(mixture).respond(conversations, (), sampling, seed))
            found[BASE] = worth(dict.fromkeys(folders, told))
        found[way] = worth(read)
    return found


def worth(scores: Mapping[str, Scores]) -> Worth:
    """Gives the measures of answers by the dimension that they were given for."""
    own = [one.dimensions[name] for name, one in scores.items()]
    return {"own": np.stack(own, axis=1), "quality": np.stack([one.quality for one in scores.values()], axis=1)}


def standings(found: Mapping[str, Worth]) -> dict[str, Any]:
    """Gives the mean of each measure by way, and how much more the joint experts have, with 95 % intervals."""
    joint = found[JOINT]
    return {
        way: {
            measure: {
                "mean": estimate(numbers[measure]).as_dict(),
                "joint_minus": difference(joint[measure], numbers[measure]).as_dict(),
            }
            for measure in MEASURES
        }
        for way, numbers in found.items()
    }


def gold_claims(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Gives, for each other way and measure, whether the joint experts are as good: the interval must reach zero.

    Args:
        found: What `standings` gave.
    """
    return [
        {
            "claim": f"joint − {way}, gold {measure}",
            "value": entry[measure]["joint_minus"]["mean"],
            "bound": 0.0,
            "holds": entry[measure]["joint_minus"]["high"] >= 0,
        }
        for way, entry in found.items()
        if way not in (JOINT, BASE)
        for measure in MEASURES
    ]
