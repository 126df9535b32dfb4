"""Ways to learn a taste from choices, as objects that foresee the next ones.

Each sees answers as named sets of features, the choices so far, and foresees margins. Knows numbers of answers. Does
not know users or the truth, but for the one that is told.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from comparison.users.simulated import User
from pcm.users.asking import any_pair, next_pair
from pcm.users.basis import Basis, mixed
from pcm.users.belief import Belief
from pcm.users.learning import Way

Features = Mapping[str, Tensor]
"""By name, differences of pairs of answers `(N, F)`."""


def rows(features: Features, places: list[int]) -> Features:
    """The features of some pairs."""
    return {name: values[places] for name, values in features.items()}


class Method(Protocol):
    """What stands in a line of the bench."""

    name: str

    def next(self, pool: Features, asked: list[int], outcomes: Tensor, generator: torch.Generator) -> int:
        """The pair of the pool to ask about next."""
        ...

    def margins(self, seen: Features, outcomes: Tensor, other: Features, user: User) -> Tensor:
        """How much the first answers of other pairs will be preferred `(M,)`."""
        ...


@dataclass
class Linear:
    """Logistic regression on axes under a prior, asking what tells most or at random.

    Args:
        name: Of the line.
        feature: Which features it reads.
        before: What is believed of a stranger.
        basis: Learned axes over the features; None takes the features as axes.
        active: Ask about the most informative pair.
    """

    name: str
    feature: str
    before: Belief
    basis: Basis | None = None
    active: bool = True

    def axes(self, features: Features) -> Tensor:
        """Where pairs lie `(N, J)`."""
        values = features[self.feature]
        return values.double() if self.basis is None else self.basis.of(values)

    def belief(self, seen: Features, outcomes: Tensor) -> Belief:
        """After the choices so far."""
        return self.before.after(self.axes(seen), outcomes) if len(outcomes) else self.before

    def next(self, pool: Features, asked: list[int], outcomes: Tensor, generator: torch.Generator) -> int:
        """The pair that tells most, or any."""
        if not self.active:
            return any_pair(len(pool[self.feature]), asked, generator)
        place = next_pair(self.axes(pool), self.belief(rows(pool, asked), outcomes), asked)
        assert place is not None, "the pool is larger than the number of questions"
        return place

    def margins(self, seen: Features, outcomes: Tensor, other: Features, user: User) -> Tensor:
        """By the mean of the belief."""
        return self.axes(other) @ self.belief(seen, outcomes).mean


@dataclass
class Learned(Linear):
    """Asks as `Linear` does, and foresees by a way that was learned from a log."""

    way: Way | None = None

    def margins(self, seen: Features, outcomes: Tensor, other: Features, user: User) -> Tensor:
        """By the mean of the way's belief."""
        assert self.way is not None
        return self.axes(other) @ self.way(self.axes(seen), outcomes).mean


@dataclass
class Written(Linear):
    """Own texts first, then choices: what a user wrote is what is believed before any answer."""

    by_texts: Mapping[User, Belief] = field(default_factory=dict)

    def margins(self, seen: Features, outcomes: Tensor, other: Features, user: User) -> Tensor:
        """By the mean of the belief that the texts and then the choices give."""
        return Linear(self.name, self.feature, self.by_texts[user]).margins(seen, outcomes, other, user)


@dataclass
class Asking:
    """Asks at random; what lines without questions of their own share."""

    name: str

    def next(self, pool: Features, asked: list[int], outcomes: Tensor, generator: torch.Generator) -> int:
        """Any pair."""
        return any_pair(len(next(iter(pool.values()))), asked, generator)


@dataclass
class OneForAll(Asking):
    """One reward model for everybody: the mean taste, whatever this user chose."""

    feature: str = "axes"
    taste: Tensor = field(default_factory=lambda: torch.zeros(0))

    def margins(self, seen: Features, outcomes: Tensor, other: Features, user: User) -> Tensor:
        """By the mean taste."""
        return other[self.feature].double() @ self.taste


@dataclass
class Mixed(Asking):
    """LoRe (arXiv 2504.14439): a new user is a mixture of learned reward models."""

    feature: str = "states"
    basis: Basis | None = None

    def margins(self, seen: Features, outcomes: Tensor, other: Features, user: User) -> Tensor:
        """By the user's mixture."""
        assert self.basis is not None
        return self.basis.of(other[self.feature]) @ mixed(self.basis, seen[self.feature], outcomes)


@dataclass
class Told(Asking):
    """The ceiling: the true taste, on what the reward models make of the answers."""

    feature: str = "axes"

    def margins(self, seen: Features, outcomes: Tensor, other: Features, user: User) -> Tensor:
        """By the truth about the user, and not about the answers."""
        return other[self.feature].double() @ user.taste
