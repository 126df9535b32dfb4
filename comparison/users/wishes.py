"""What simulated users ask for: as was learned of them, and as they would tell it themselves, in numbers and in words.

Knows tastes, beliefs and what was chosen. Does not know who answers.
"""

import random
from collections.abc import Mapping, Sequence

from comparison.cases import world_phrase
from comparison.users.methods import Linear
from comparison.users.simulated import User
from comparison.users.trial import Interview
from comparison.users.world import Pairs
from comparison.yardsticks import Example
from pcm.preference import Preference
from pcm.users.axes import Axes
from pcm.users.belief import Belief
from pcm.users.learning import doubtful

NAMED = 0.5
"""Of the strongest taste: what a user cares for less is not named when they say what they want."""


def true_weights(user: User, axes: Axes) -> dict[str, float]:
    """The numeric preference that a user's taste amounts to."""
    strongest = float(user.taste[:-1].abs().max())
    return {pole: float(taste) / strongest for (pole, _), taste in zip(axes.poles, user.taste, strict=False)}


def true_names(user: User, axes: Axes) -> tuple[str, ...]:
    """The poles that a user cares for half as much as for their strongest, or more."""
    weights = true_weights(user, axes)
    wanted = [pole if weights[pole] > 0 else other for pole, other in axes.poles if abs(weights[pole]) >= NAMED]
    return tuple(name for name in wanted if name is not None)


def wishes(
    axes: Axes, users: Sequence[User], beliefs: Mapping[str, Sequence[Belief]], seed: int
) -> dict[str, list[Preference | None]]:
    """What every user asks for, by kind; None asks for nothing.

    Args:
        axes: Of taste.
        users: Who ask.
        beliefs: By kind, what is believed of each user; "true" and "true, in words" are added.
        seed: Of the words, which are put as no training put them.
    """
    words, rng = world_phrase("test"), random.Random(f"true tastes in words {seed}")
    numbers = {kind: [axes.weights(belief) for belief in believed] for kind, believed in beliefs.items()}
    numbers["true"] = [true_weights(user, axes) for user in users]
    asked: dict[str, list[Preference | None]] = {
        kind: [Preference(weights=one) if any(one.values()) else None for one in weights]
        for kind, weights in numbers.items()
    }
    asked["true, in words"] = [Preference(text=words(true_names(user, axes), rng)) for user in users]
    return asked


def believed(method: Linear, told: Interview, pool: Pairs) -> Belief:
    """What choices let one believe of a user: nothing new, where a coin may have made them."""
    differences = method.axes(pool.rows(told.places).features)
    doubt = doubtful(method.before, differences, told.outcomes)
    return method.before if doubt else method.before.after(differences, told.outcomes)


def chosen(told: Interview, pool: Pairs) -> list[Example]:
    """The answers that a user chose, with their questions."""
    pairs = zip(pool.rows(told.places).said, told.outcomes.tolist(), strict=True)
    return [
        (question.messages[-1]["content"], first if outcome else second) for (question, first, second), outcome in pairs
    ]
