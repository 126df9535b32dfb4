"""The arms of the study: a single reward model, the mean of an ensemble, its lower bound.

Knows names, and how experts.train is told what pays whom. Does not know how anything is trained or measured.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from experts.reward_sources import EnsembleSource
from experts.rewards import QUALITY


@dataclass(frozen=True)
class Arm:
    """A way to make one reward of an ensemble's members.

    Args:
        name: What reports call it.
        members: How many of them are heard, the first ones.
        lower_bound: Standard deviations between their mean and the reward.
    """

    name: str
    members: int
    lower_bound: float = 0.0


SINGLE, LOWER_BOUND = "single", "lower-bound"


def arms_of(members: int, lower_bound: float) -> tuple[Arm, ...]:
    """Gives the three arms, first the one that the others are held against.

    Args:
        members: Of every ensemble.
        lower_bound: Of the last arm, in standard deviations.

    Raises:
        ValueError: If there is nothing to disagree about, or the arms would be the same.
    """
    if members < 2 or not lower_bound > 0:
        raise ValueError(
            f"an ensemble must have at least 2 members and a lower bound above 0, got {members} and {lower_bound}"
        )
    return Arm(SINGLE, 1), Arm("mean", members), Arm(LOWER_BOUND, members, lower_bound)


def expert_name(dimension: str, arm: str) -> str:
    """Gives what the expert of a dimension is called that an arm pays; its own reward has the same name."""
    return f"{dimension}-{arm}"


def reward_sources(arms: Iterable[Arm], dimensions: Sequence[str], folder: Path) -> dict[str, EnsembleSource]:
    """Gives every arm's rewards: one for each dimension and one for quality.

    Args:
        arms: Of the study.
        dimensions: That experts are trained for.
        folder: Holds an ensemble for each dimension and for quality.
    """
    return {
        expert_name(name, arm.name): EnsembleSource(
            folder=str(folder / name), members=arm.members, lower_bound=arm.lower_bound
        )
        for arm in arms
        for name in (*dimensions, QUALITY)
    }


def objectives(arms: Iterable[Arm], dimensions: Sequence[str]) -> dict[str, list[str]]:
    """Gives what each expert is paid, by its name: its arm's reward for its dimension and its arm's for quality."""
    return {
        expert_name(dimension, arm.name): [expert_name(dimension, arm.name), expert_name(QUALITY, arm.name)]
        for dimension in dimensions
        for arm in arms
    }
