"""The ways from a log of many users to a belief about one of them, by name.

Knows which ways there are and what each needs. Does not know how any of them works.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from pcm.reader.model import PreferenceReader
from pcm.users.axes import Axes
from pcm.users.basis import Basis
from pcm.users.belief import Belief
from pcm.users.in_context import in_context
from pcm.users.learning import Way
from pcm.users.networks import Chosen
from pcm.users.tokens import user_tokens
from pcm.users.variational import variational

Method = Literal["regression", "population", "variational", "in-context", "tokens"]
FEW_USERS = 20
"""Below so many users of a log, what is learned about users in general is mostly about these."""


@dataclass(frozen=True)
class Log:
    """What many users chose, on the axes of a bundle.

    Args:
        users: Their choices.
        axes: Of taste.
        before: What is believed of anybody.
        reader: Of the bundle, if it has one.
        seed: Of what is trained.
    """

    users: Sequence[Chosen]
    axes: Axes
    before: Belief
    reader: PreferenceReader | None = None
    seed: int = 0

    def tastes(self) -> Tensor:
        """Where each user of the log lies `(U, J)`."""
        return torch.stack([self.before.after(*chosen).mean for chosen in self.users])

    def population(self) -> Belief:
        """What is believed of a stranger: that they are like the users of the log."""
        return Basis(torch.eye(len(self.before.mean), dtype=torch.float64), self.tastes()).population()


def _tokens(log: Log) -> Way:
    if log.reader is None:
        raise ValueError("user tokens are heard by a bundle's reader, this bundle has none: use another method")
    return user_tokens(log.users, log.reader, log.axes, seed=log.seed).after


_WAYS: Mapping[str, Callable[[Log], Way]] = {
    "population": lambda log: log.population().after,
    "variational": lambda log: variational(log.users, seed=log.seed).after,
    "in-context": lambda log: (
        in_context(torch.cat([chosen.differences for chosen in log.users]), log.population(), seed=log.seed).after
    ),
    "tokens": _tokens,
}
"""Those that learn from others."""


def way_of(method: Method, log: Log) -> Way:
    """The way, learned from the log where it learns anything.

    Raises:
        ValueError: If fewer than two users have two choices, for a way that learns from others.

    Warns:
        UserWarning: If the log has so few users that not much can be learned about users in general.
    """
    if method == "regression":
        return log.before.after
    users = [chosen for chosen in log.users if len(chosen.outcomes) > 1]  # one choice cannot be foreseen by others
    if len(users) < 2:
        raise ValueError(f"{method} needs a log of two users or more with two choices each, got {len(users)} of them")
    if len(users) < FEW_USERS:
        message = f"{method} learns from many users: {FEW_USERS} would be a beginning, got {len(users)}"
        warnings.warn(message, stacklevel=2)
    return _WAYS[method](replace(log, users=users))
