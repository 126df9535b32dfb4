"""The annotator: noisy pairwise labels per dimension, the only thing a reward model may learn from.

A person who compares two answers sees the truth through noise: `P(first preferred) = σ((s₁ − s₂) / noise)`, the
Bradley–Terry model (1952) around the judge's score s. Ties in the truth become coin flips, as with people.
"""

from __future__ import annotations

import math
import random

from experts.miniature.judge import Verdict

QUALITY = "quality"


def score(verdict: Verdict, name: str) -> float:
    """The truth about one dimension, or about `quality`."""
    return verdict.quality if name == QUALITY else verdict.dimensions[name]


def prefers_first(first: Verdict, second: Verdict, name: str, rng: random.Random, *, noise: float = 0.12) -> bool:
    """Whether the annotator prefers the first answer on dimension `name`; `noise` in units of the score."""
    difference = (score(first, name) - score(second, name)) / noise
    return rng.random() < 1 / (1 + math.exp(-difference))
