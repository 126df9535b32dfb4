"""What the study is about, and where everything of it lies: one folder for each seed.

    runs/<fingerprint>/seed-<seed>/    pairs, rewards, experts with their snapshots, answers

The fingerprint covers whatever training depends on, the files it reads included, but not the code: what another setting
left there is never taken for this one's. Knows numbers and files. Does not know how anything is trained or measured.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import bundle as bundles
from comparison.decoding import drawn
from comparison.ensembles.arms import Arm
from experts.rewards import QUALITY

QUICK: Mapping[str, Any] = {
    "seeds": 1,
    "pairs_per_reward": 32,
    "held_out_pairs": 8,
    "updates": 2,
    "prompts_per_update": 4,
    "snapshot_every": 1,
    "questions": 4,
    "max_new_tokens": 24,
}
"""Hardly anything of everything."""
_ELSEWHERE = ("output", "seeds", "questions", "base", "pairs", "prompts")
"""What training depends on not at all, or by the content of files."""


@dataclass(frozen=True)
class Plan:
    """What is trained and measured; the numbers are options of the command."""

    base: Path
    pairs: Path
    prompts: Path
    output: Path
    dimensions: tuple[str, ...]
    arms: tuple[Arm, ...]
    seeds: int
    pairs_per_reward: int
    held_out_pairs: int
    updates: int
    prompts_per_update: int
    snapshot_every: int
    learning_rate: float
    questions: int
    max_new_tokens: int

    def __post_init__(self) -> None:
        if self.seeds < 1 or not self.dimensions:
            raise ValueError(f"there must be seeds and dimensions, got {self.seeds} and {list(self.dimensions)}")
        if self.updates < 1 or self.snapshot_every < 1 or self.updates % self.snapshot_every:
            raise ValueError(
                "the last update must have a snapshot: updates must be a multiple of snapshot_every, got "
                f"{self.updates} and {self.snapshot_every}"
            )

    @property
    def members(self) -> int:
        """Gives how many reward models an ensemble has."""
        return max(arm.members for arm in self.arms)

    @property
    def rewards(self) -> list[str]:
        """Gives what there is an ensemble for."""
        return [*self.dimensions, QUALITY]

    @property
    def measured(self) -> list[int]:
        """Gives the updates after which experts are measured, the base as 0 and the last one among them."""
        return list(range(0, self.updates + 1, self.snapshot_every))

    @cached_property
    def identity(self) -> str:
        """Gives the fingerprint of whatever training depends on."""
        files = [*sorted(self.base.glob("*.safetensors")), *sorted(self.base.glob("tokenizer*")), self.prompts]
        files += [path for name in self.rewards for path in sorted(self.pairs.glob(f"{name}*/*.jsonl"))]
        files += [path for name in self.rewards for path in sorted(self.pairs.glob(f"{name}.jsonl"))]
        numbers = {key: value for key, value in asdict(self).items() if key not in _ELSEWHERE}
        return f"{drawn(numbers, [bundles.sha256(path) for path in files]):014x}"

    def folder(self, seed: int) -> Path:
        """Gives where everything of a seed lies."""
        return self.output / "runs" / self.identity / f"seed-{seed}"

    def judges(self, seed: int) -> Path:
        """Gives where a seed's reward models lie."""
        return self.folder(seed) / "rewards"

    def experts(self, seed: int) -> Path:
        """Gives where a seed's experts and their snapshots lie."""
        return self.folder(seed) / "experts"

    def answers(self, seed: int) -> Path:
        """Gives where a seed's answers lie."""
        return self.folder(seed) / f"answers-{self.questions}"

    def settings(self) -> dict[str, Any]:
        """Gives what a report tells of it."""
        hidden = {"arms", "output", "base", "pairs", "prompts"}
        plain = {key: value for key, value in asdict(self).items() if key not in hidden}
        return plain | {"members": self.members, "lower_bound": max(arm.lower_bound for arm in self.arms)}
