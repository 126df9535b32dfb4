"""Trains what a seed of the study needs: weak reward models, then all arms' experts in one run.

Knows what is taken away from training on purpose: most pairs, the price of KL, the penalties and guards that keep an
expert honest. Does not know where anything lies nor what answers are worth.
"""

import json
import random
from pathlib import Path
from typing import Any

from comparison.archive import write_whole
from comparison.ensembles.arms import objectives, reward_sources
from comparison.ensembles.plan import Plan
from experts.guards import CollapseError
from experts.labelled_pairs import read_split
from experts.reward_training import train_rewards
from experts.train import silence, train_experts

WEAK: dict[str, Any] = {"epochs": 2.0, "batch_size": 16, "learning_rate": 0.003}
"""Of reward models: few pairs need more and smaller steps."""
UNPAID: dict[str, Any] = {"quality_weight": 0.0, "missing_end_penalty": 0.0, "repetition_penalty": 0.0}
"""Of the exam: nothing but the arm's own rewards pays, whose mean already holds quality."""
UNPRICED: dict[str, Any] = {"kl_coefficient": 0.0, "trace": 0.98}
"""Of PPO: nats are free, and stay so, for the controller multiplies."""
UNGUARDED: dict[str, Any] = {"shortest": 0, "largest_drop": 1.0, "least_entropy": 0.0}
"""A collapse is a result here and no mistake."""


def few_pairs(pairs: Path, output: Path, name: str, counts: tuple[int, int], seed: int) -> None:
    """Writes a few of the pairs of a name, drawn anew for each seed.

    Args:
        pairs: Folder that has them all.
        output: Folder that gets `<name>/train.jsonl` and `<name>/validation.jsonl`.
        name: Of a reward.
        counts: How many to train on, and how many to hold out.
        seed: Of the draw.

    Raises:
        ValueError: If there are not so many.
    """
    rng = random.Random(f"few pairs {name} {seed}")
    for split, known, count in zip(("train", "validation"), read_split(pairs, name), counts, strict=True):
        if not 1 <= count <= len(known):
            raise ValueError(f"there must be 1 to {len(known)} pairs of {split} about {name} in {pairs}, got {count}")
        rows = [known[place] for place in rng.sample(range(len(known)), count)]
        write_whole(output / name / f"{split}.jsonl", [json.dumps(row) + "\n" for row in rows])


def train_judges(plan: Plan, seed: int) -> dict[str, Any]:
    """Gives what a seed's ensembles are worth on held-out pairs, by reward, once they are trained.

    Raises:
        ValueError: If there are too few pairs.
    """
    few = plan.folder(seed) / "pairs"
    for name in plan.rewards:
        few_pairs(plan.pairs, few, name, (plan.pairs_per_reward, plan.held_out_pairs), seed)
    first = seed * plan.members  # no two seeds share a member's seed
    return train_rewards(plan.base, few, plan.judges(seed), plan.rewards, seed=first, members=plan.members, **WEAK)


def train_arms(plan: Plan, seed: int) -> None:
    """Trains the experts of all arms beside each other: the same prompts in the same order, and nothing shared.

    Raises:
        ValueError: If a number of an expert is none any more.
    """
    silence()
    most = plan.max_new_tokens
    try:
        train_experts(
            plan.base,
            dict(reward_sources(plan.arms, plan.dimensions, plan.judges(seed))),
            plan.prompts,
            plan.experts(seed),
            exam=UNPAID | {"least_budget": max(1, most - 16), "most_budget": most},
            ppo=UNPRICED | {"updates": plan.updates, "learning_rate": plan.learning_rate, "seed": seed},
            guards=dict(UNGUARDED),
            objectives=objectives(plan.arms, plan.dimensions),
            prompts_per_update=plan.prompts_per_update,
            snapshot_every=plan.snapshot_every,
            devices=1,
        )
    except CollapseError as collapse:  # with these guards only where a number is not finite
        raise ValueError(str(collapse)) from collapse
